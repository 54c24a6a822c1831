"""Measurements against the budgets of the project; `make bench` runs them."""
