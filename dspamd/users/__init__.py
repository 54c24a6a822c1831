"""The users of a site, with their preferences and groups.

Preferences, groups, external look-ups, and which accounts of the system are trusted.
"""
