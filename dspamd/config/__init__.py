"""dspam.conf: its directives, their types and defaults, and the texts made from them.

The table in `options` is the one source of the parser, the sample file and the manual page.
"""
