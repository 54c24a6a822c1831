# A message left the folder for spam, by the hand of its user: dspamd learns it as innocent.
require ["vnd.dovecot.pipe", "copy", "environment", "imapsieve", "variables"];

# Who empties the folder says nothing about its mail, nor does who sorts it below that folder.
if environment :matches "imap.mailbox" [
    "*Trash*", "*Deleted*", "*Papierkorb*", "*Corbeille*", "Junk*", "INBOX.Junk*", "INBOX/Junk*"
] {
    stop;
}

# The user of dspamd is the name that logs in. To take its domain off, write "*@*" for "*"; to add one, write
# "${1}@example.org" for "${1}".
if environment :matches "imap.user" "*" {
    set "user" "${1}";
}

pipe :copy "dspamc" ["--user", "${user}", "--class=innocent", "--source=folder"];
