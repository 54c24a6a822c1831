"""Dictionaries that age, data that moves, and checks of a site.

Works through the storage contract alone, beside the mail.
"""
