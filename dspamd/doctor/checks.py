"""The table of checks: every subject, in the order in which it is told.

The configuration comes first and alone: its check takes the rights of the daemon's account for a moment,
which all threads of a process share.  Root sees files and other programs as they are; what the daemon
talks to is seen with the rights of the daemon.
"""

from __future__ import annotations

from dspamd.doctor.configuration import configuration
from dspamd.doctor.database import database
from dspamd.doctor.examination import Check, Stage, blocking
from dspamd.doctor.host import clock, disk, open_files
from dspamd.doctor.mail_server import mail_server
from dspamd.doctor.next_hop import next_hop
from dspamd.doctor.programs import daemon, libraries

STAGES = (
    Stage((Check("configuration", blocking(configuration), 30),)),
    Stage(
        (
            Check("disk", blocking(disk)),
            Check("clock", blocking(clock)),
            Check("open files", blocking(open_files)),
            Check("versions", blocking(libraries)),
            Check("Postfix", blocking(mail_server), 30),
        )
    ),
    Stage(
        (
            Check("daemon", daemon),
            Check("database", database, 60),
            Check("next hop", next_hop, 15),
        ),
        as_daemon=True,
    ),
)
