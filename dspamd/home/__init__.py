"""The files below Home, under the names that DSPAM gave them.

Scripts and web pages of a site read them, so names and lines stay as they are.
"""
