"""The SQL of steps."""

from importlib.resources import files


def text_of(revision: str, dialect: str) -> str:
    """What `sql/<revision>.<dialect>.sql` says."""
    return (files(__package__) / "sql" / f"{revision}.{dialect}.sql").read_text(encoding="utf-8")


def run(revision: str) -> None:
    """Run the SQL of a step on SQLite, statement by statement."""
    from alembic import op

    for statement in text_of(revision, "sqlite").split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)
