"""Points in time as commands take them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import typer

from lockstitch_server.cli.since import point_in_time

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("15min", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("1w", NOW - timedelta(weeks=1)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00+02:00", datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_points_in_time(text: str, expected: datetime) -> None:
    assert point_in_time(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2 h", "2y", "yesterday", "999999999w", "1.5h", "٢h"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(typer.Exit):
        point_in_time(text, NOW)
