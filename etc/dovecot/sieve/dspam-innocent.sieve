# A message left the folder for spam, by the hand of its user: dspamd learns it as innocent.
require ["vnd.dovecot.pipe", "copy", "environment", "imapsieve", "variables"];

# Who empties the folder says nothing about its mail, nor does who sorts it below that folder.
if environment :matches "imap.mailbox" [
    "*Trash*", "*Deleted*", "*Papierkorb*", "*Corbeille*", "Junk*", "INBOX.Junk*", "INBOX/Junk*"
] {
    stop;
}

# The user of dspamd is the address. With StripRcptDomain on, the part before the "@": "*@*".
if environment :matches "imap.user" "*" {
    set "user" "${1}";
}

pipe :copy "dspamc" ["--user", "${user}", "--class=innocent", "--source=folder"];
