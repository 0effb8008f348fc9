"""Whole sessions: leases, retention, copies and watches, where several servers are at work."""

import tests.conformance  # noqa: F401 - what its builders assert is told in full
