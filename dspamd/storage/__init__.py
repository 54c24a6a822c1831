"""The contract of a store, and one folder for each driver.

Users of a store import `contract` alone; `drivers` opens the store that the configuration names.
"""
