# A user marked a message where it is: dspamd learns it. $Junk and $NotJunk are the marks of Apple Mail and
# the registered ones, Junk and NonJunk those of Thunderbird, SPAM and NONSPAM those of web mail and scripts.
require ["vnd.dovecot.pipe", "copy", "environment", "imap4flags", "imapsieve", "variables"];

# The marks that changed, each between blanks; a mark that was taken away says nothing.
if environment :matches "imap.changedflags" "*" {
    set "changed" " ${1} ";
}
if allof (
    string :contains "${changed}" [" $Junk ", " Junk ", " SPAM "],
    hasflag ["$Junk", "Junk", "SPAM"],
    not hasflag ["$NotJunk", "NonJunk", "NONSPAM"]
) {
    set "class" "spam";
} elsif allof (
    string :contains "${changed}" [" $NotJunk ", " NonJunk ", " NONSPAM "],
    hasflag ["$NotJunk", "NonJunk", "NONSPAM"],
    not hasflag ["$Junk", "Junk", "SPAM"]
) {
    set "class" "innocent";
} else {
    stop;
}

# The user of dspamd is the name that logs in. To take its domain off, write "*@*" for "*"; to add one, write
# "${1}@example.org" for "${1}".
if environment :matches "imap.user" "*" {
    set "user" "${1}";
}

pipe :copy "dspamc" ["--user", "${user}", "--class=${class}", "--source=folder"];
