"""The shared parts of the tests: stand-ins for the programs around dspamd, real servers, small sites.

Test modules take it from here and never from each other; tests/unit/test_support.py checks that.
"""
