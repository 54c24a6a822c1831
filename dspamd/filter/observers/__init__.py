"""Who is told of a message after the hand-over.

An observer neither delays mail nor makes it fail.
"""
