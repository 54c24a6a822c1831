"""Work that leaves the event loop: threads, one background writer, child processes.

Blocking work goes through here, with a limit on waiting work.
"""
