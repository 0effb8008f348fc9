"""All tables."""

from lockstitch_server.storage.migrations.steps import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    run(revision)
