"""What a client asks for: envelope, command line, retraining address.

Pure: bytes, words and a configuration in, values out.
"""
