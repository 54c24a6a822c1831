"""The driver of PostgreSQL, on DSPAM's own tables.

`store` keeps the contract; `statements` has every text that reaches the server.
"""
