"""The bytes of a message, and what can be seen in them.

Pure: no sockets, clock, randomness or logging; a message leaves as it came, but for our own header lines.
"""
