"""Stores in files below Home: hash files and SQLite.

One file for each owner, locks between processes, a thread beside the event loop.
"""
