"""The bytes of a message, its parts and its views.

Pure: no sockets, clock, randomness or logging.  Nothing but our own header lines changes in a message.
"""
