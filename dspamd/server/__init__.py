"""Dialogues with clients: LMTP, and the protocol of dspamc.

The number of replies follows from the number of accepted recipients.
"""
