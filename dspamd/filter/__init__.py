"""The path of a message, from arrival to answer.

Read `pipeline` first: its methods are in the order of the stages.
"""
