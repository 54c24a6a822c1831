"""`python -m dspamd` is `dspamd`."""

import sys

from dspamd.commands.dspamd import main

if __name__ == "__main__":
    sys.exit(main())
