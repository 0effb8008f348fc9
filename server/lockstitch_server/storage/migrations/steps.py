"""Runs the SQL of a step."""

from importlib.resources import files

from alembic import op


def run(revision: str) -> None:
    """Run `sql/<revision>.<dialect>.sql`, statement by statement."""
    dialect = op.get_bind().dialect.name
    text = (files(__package__) / "sql" / f"{revision}.{dialect}.sql").read_text(encoding="utf-8")
    for statement in text.split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)
