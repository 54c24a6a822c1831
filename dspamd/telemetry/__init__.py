"""What is logged, counted and timed.

Nothing here decides anything: a message passes alike whether anybody watches or not.
"""
