"""One module for each program that a person calls.

`tool` is the frame they share: usage, help, exit status.
"""
