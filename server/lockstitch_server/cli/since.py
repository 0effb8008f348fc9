"""Points in time as commands take them: an age such as 2h, or a date."""

import re
from datetime import UTC, datetime, timedelta

from lockstitch_server.cli.output import UNUSABLE, fail

_AGE = re.compile(r"([0-9]{1,9})(s|min|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def point_in_time(text: str, now: datetime) -> datetime:
    """The point in time that a text names. One that names none ends the command.

    An age is a number with s, m, h, d or w. A date without a zone is UTC.
    """
    try:
        if age := _AGE.fullmatch(text):
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        fail(
            f"--since takes an age such as 90s, 15m, 2h or 3d, or a date such as 2026-01-31T12:00Z, not {text!r}",
            UNUSABLE,
        )
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
