"""Observers see a message after the hand-over: log and metrics, copies, the tracker of sources.

They neither delay mail nor make it fail.
"""
