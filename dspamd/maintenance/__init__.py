"""Dictionaries that age, data that moves, and checks of a site.

It works through the storage contract alone, while mail flows.
"""
