"""The log, the metrics, and the times of a message.

Nothing here decides anything: a message passes alike, watched or not.
"""
