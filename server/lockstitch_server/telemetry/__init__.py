"""Traces, metrics and logs of the server."""
