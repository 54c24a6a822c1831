"""The path of a message, from arrival to answer.

Begin with `pipeline`, which reads in the order in which things happen.
"""
