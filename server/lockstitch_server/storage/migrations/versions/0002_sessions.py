"""Leases, tombstones, retention, deletions and copies of sessions; who does what is done by one server only."""

from lockstitch_server.storage.migrations.steps import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run(revision)
