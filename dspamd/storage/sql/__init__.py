"""Code that the drivers of database servers share.

Servers and tables as configured, retries, the lock of an owner, and fail-over to another profile.
"""
