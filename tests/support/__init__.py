"""What tests share: stand-ins for the programs around dspamd, real servers on free ports, small sites.

Test modules take it from here and never from each other; tests/unit/test_support.py checks that.
"""
