"""Alembic's entry: runs the steps over the connection that the caller provides, which is SQLite's."""

from alembic import context

from lockstitch_server.storage.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_pk=False,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
