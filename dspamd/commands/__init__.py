"""One module for each program that a person calls.

They share the frame `tool`: usage, help, exit status.
"""
