"""Work that leaves the event loop: threads, one background writer, child processes.

Blocking work goes through here, with a bound on what may wait.
"""
