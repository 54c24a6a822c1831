"""The contract of a store, and one folder for each driver.

Whoever uses a store knows `contract` alone; `drivers` opens the one that the configuration names.
"""
