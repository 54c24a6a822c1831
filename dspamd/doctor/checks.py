"""The table of checks: every subject, in the order of the report.

The configuration comes first and alone: its check takes the rights of the daemon's account for a moment,
which all threads of a process share.  Root sees files and other programs as they are; what the daemon
talks to is seen with the rights of the daemon.
"""

from __future__ import annotations

from dspamd.doctor.configuration import configuration
from dspamd.doctor.database import database
from dspamd.doctor.dictionaries import dictionaries
from dspamd.doctor.examination import Check, Stage, blocking
from dspamd.doctor.exit_statuses import exit_statuses
from dspamd.doctor.files import files
from dspamd.doctor.host import clock, disk, open_files
from dspamd.doctor.mail_server import mail_server
from dspamd.doctor.next_hop import next_hop
from dspamd.doctor.programs import daemon, libraries
from dspamd.doctor.retraining import retraining
from dspamd.doctor.scanners import dns, virus_scanner
from dspamd.doctor.users import folders, quarantines

STAGES = (
    Stage((Check("configuration", blocking(configuration), 30),)),
    Stage(
        (
            Check("files", blocking(files), 60),
            Check("disk", blocking(disk)),
            Check("open files", blocking(open_files)),
            Check("clock", blocking(clock)),
            Check("versions", blocking(libraries)),
            Check("Postfix", blocking(mail_server), 30),
            Check("Dovecot", blocking(retraining), 30),
            Check("qmail, Courier", blocking(exit_statuses)),
            Check("quarantines", blocking(quarantines), 60),
        )
    ),
    Stage(
        (
            Check("daemon", daemon),
            Check("next hop", next_hop, 15),
            Check("database", database, 60),
            Check("dictionaries", dictionaries, 45),
            Check("folders", folders, 60),
            Check("virus scanner", virus_scanner),
            Check("DNS", dns, 20),
        ),
        as_daemon=True,
    ),
)
