"""The filters of the list of sessions, as the query of a URL: a view is saved by its URL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lockstitch.inspect import StatusKind

PAGE_SIZE = 50
SINCE = {"15m": "15 minutes", "1h": "hour", "1d": "day", "7d": "7 days", "30d": "30 days"}
ORDERS = {"": "last changed", "id": "session id"}
_UNITS = {"m": 60, "h": 3600, "d": 86400}
_AGE = re.compile(r"^(\d{1,6})([mhd])$")


class FilterInvalid(ValueError):
    """A filter is not what it can be. The message says what it can be."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list of sessions shows.

    prefix: how the ids begin. label: "name=value". status: a `StatusKind`, or "".
    since, before: last changed then or later, and before then: an age ("15m", "6h", "7d") or a time (ISO 8601, UTC).
    order: "" for last changed first, "id" for ids ascending. page_token: where to go on.
    """

    prefix: str = ""
    label: str = ""
    status: str = ""
    since: str = ""
    before: str = ""
    order: str = ""
    page_token: str = ""

    @property
    def kind(self) -> StatusKind | None:
        """The status to show; None: any."""
        return StatusKind(self.status) if self.status else None

    @property
    def labels(self) -> dict[str, str]:
        """The labels that sessions must have."""
        name, _, value = self.label.partition("=")
        return {name.strip(): value.strip()} if self.label else {}

    def query(self, **changed: str) -> dict[str, str]:
        """The query of a URL that shows this, with changes. Without a page token it begins at the first page."""
        own = {"prefix": self.prefix, "label": self.label, "status": self.status, "since": self.since}
        return own | {"before": self.before, "order": self.order} | changed

    @property
    def is_filtered(self) -> bool:
        """Whether anything is left out."""
        return bool(self.prefix or self.label or self.status or self.since or self.before)


def read_filters(query: Mapping[str, str]) -> Filters:
    """The filters of a URL's query. Raises FilterInvalid."""
    label, status, order = query.get("label", "").strip(), query.get("status", ""), query.get("order", "")
    if label and (label.startswith("=") or "=" not in label):
        raise FilterInvalid(f'The label filter "{label}" is not name=value, such as env=prod.')
    if status and status not in list(StatusKind):
        raise FilterInvalid(f'The status "{status}" is none of {", ".join(StatusKind)}.')
    if order not in ORDERS:
        raise FilterInvalid('The order is "" (last changed first) or "id".')
    return Filters(
        query.get("prefix", ""),
        label,
        status,
        query.get("since", "").strip(),
        query.get("before", "").strip(),
        order,
        query.get("page", ""),
    )


def moment_of(text: str, now: datetime) -> datetime | None:
    """The time that a filter names; None: it names none. Raises FilterInvalid.

    >>> moment_of("6h", datetime(2026, 1, 1, 12, tzinfo=UTC)).hour
    6
    """
    if not text:
        return None
    try:
        if match := _AGE.match(text):
            return now - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # years are those from 1 to 9999, in UTC too
        raise FilterInvalid(
            f'The time "{text}" is neither an age, such as 15m, 6h or 7d, nor a time, such as 2026-01-31T12:00, '
            "in the years 1 to 9999."
        ) from None
