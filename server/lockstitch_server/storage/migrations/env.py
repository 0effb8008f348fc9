"""Alembic's entry: runs the steps over the connection that the caller provides."""

from alembic import context

from lockstitch_server.storage.migrations import POSTGRES_SCHEMA, VERSION_TABLE

connection = context.config.attributes["connection"]
is_postgres = connection.dialect.name == "postgresql"
context.configure(
    connection=connection,
    version_table=VERSION_TABLE,
    version_table_schema=POSTGRES_SCHEMA if is_postgres else None,
    version_table_pk=False,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
