"""The engine once more, written to be read: slow, plain Python, no tricks.

The kernel is checked against this (property tests), and this is checked
against what the original really produced (golden tests).  Every rule names
its place in the description of the original engine: "1.10" means section 1.10
of reference/engine.md.  Nothing here is used outside the tests.
"""
