"""The users of a site, and what they asked for.

Preferences, groups, external look-ups, and which accounts of the system are trusted.
"""
