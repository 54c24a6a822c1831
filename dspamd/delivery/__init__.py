"""Ways to the next hop: SMTP and LMTP, a delivery agent, the quarantine.

Each answers when the next hop has answered, and raises what it could not do.
"""
