"""Sessions: their rows, leases, and the events that a watch sends."""
