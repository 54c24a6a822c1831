"""The account that the tests run as.

Only root and those named by `Trust` may act for other users.  The sites of the
tests trust the account that runs them, so that they pass for every account.
"""

from __future__ import annotations

import os

from dspamd.users.trust import login_name

TRUST = f"Trust {login_name(os.getuid())}"
"""The line of dspam.conf that says so."""
