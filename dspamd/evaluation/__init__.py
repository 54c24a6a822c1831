"""Work on labelled mail: measuring configurations (`dspam_eval`), and making knowledge (`teaching`).

A measurement talks neither to a daemon nor to a store of the site: the decisions and lessons of
`dspamd.filter` work on a store in memory.
"""
