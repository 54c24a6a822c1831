"""Ways to the next hop: SMTP and LMTP, a delivery agent, the quarantine.

Each returns the answer of the next hop, or raises the failure.
"""
