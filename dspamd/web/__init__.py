"""Pages for browsers and monitoring.

Numbers come from memory that all workers share, so a worker that hangs hides nothing.
"""
