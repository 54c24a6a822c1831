"""Scanners decide before the statistics: viruses, blocklists, blacklists.

`Scanners.find` is the one call, `Finding` the one answer.
"""
