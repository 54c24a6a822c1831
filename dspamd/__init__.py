"""dspamd: a statistical spam filter for mail servers, successor of DSPAM 3.10.2."""

__version__ = "4.0.0"
