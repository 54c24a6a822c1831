# A message came into the folder for spam, by the hand of its user: dspamd learns it as spam.
require ["vnd.dovecot.pipe", "copy", "environment", "imapsieve", "variables"];

# The user of dspamd is the address. With StripRcptDomain on, the part before the "@": "*@*".
if environment :matches "imap.user" "*" {
    set "user" "${1}";
}

pipe :copy "dspamc" ["--user", "${user}", "--class=spam", "--source=folder"];
