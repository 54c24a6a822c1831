"""What became of a message, and how it is told: headers and the summary line.

The block of X-DSPAM headers and the summary line are those of the original
(reference/engine.md 11, protocols.md 9.1), to the last digit.
"""
