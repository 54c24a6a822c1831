# A message came into the folder for spam, by the hand of its user: dspamd learns it as spam.
require ["vnd.dovecot.pipe", "copy", "environment", "imapsieve", "variables"];

# The user of dspamd is the name that logs in. To take its domain off, write "*@*" for "*"; to add one, write
# "${1}@example.org" for "${1}".
if environment :matches "imap.user" "*" {
    set "user" "${1}";
}

pipe :copy "dspamc" ["--user", "${user}", "--class=spam", "--source=folder"];
