"""A record of who did what to which session: lines of JSON in a file, written beside the calls."""

from lockstitch_server.audit.log import AuditLog, AuditUnavailable, Record

__all__ = ["AuditLog", "AuditUnavailable", "Record"]
