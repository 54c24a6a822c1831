"""The request of a client: envelope, command line, retraining address.

Pure: bytes, words and a configuration in, values out.
"""
