"""What the drivers of database servers share.

Servers and tables as configured, retries, turns of one owner, and fail-over to another profile.
"""
