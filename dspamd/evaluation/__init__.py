"""Measuring configurations on labelled mail, as `dspam_eval` does.

Nothing here talks to a daemon or to a store of the site: the decisions and lessons of `dspamd.filter`
work on a store in memory.
"""
