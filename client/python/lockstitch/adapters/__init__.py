"""Lockstitch behind the persistence interfaces of other frameworks. Each needs the extra of its name."""
