"""The path of a message, from arrival to answer.

Read `pipeline` first: its methods stand in the order in which things happen.
"""
