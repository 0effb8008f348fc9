"""Several processes that serve one address: a supervisor, and the workers that it starts.

The supervisor holds the address and the workers' lifelines, and serves nothing itself.
"""
