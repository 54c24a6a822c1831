"""Processes, sockets, signals and readiness.

A supervisor forks workers, which share its listening sockets.
"""
