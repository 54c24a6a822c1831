"""The duties of every store, as cases: the test suite runs them for each driver, `suite.check` for a site.

A case takes an open store and the name of an owner who does not exist yet; names of further
owners begin with that name.  It raises `Violation` if the store breaks the contract
(`storage/contract.py`).  Tests beside the drivers do what needs access to the machine: they
kill processes, fill disks, hold locks.
"""
