"""The statistics: from the tokens of a message to a verdict and a lesson.

Pure: bytes and numbers in, values out; the caller reads and writes the counters.
"""
