"""Pages for browsers and monitoring.

What they show is read from memory that all workers share, so a worker that hangs hides nothing.
"""
