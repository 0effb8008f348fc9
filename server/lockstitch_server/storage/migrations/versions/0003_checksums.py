"""Checksums cover the key of every row: of sessions, rows of logs and pending writes."""

from alembic import op

from lockstitch_server.storage.migrations.checksums import put_checksums
from lockstitch_server.storage.migrations.steps import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run(revision)
    put_checksums(op.get_bind())
