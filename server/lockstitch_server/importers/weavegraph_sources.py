"""Reads weavegraph's tables from SQLite and Postgres. Nothing is ever written there."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from lockstitch_server.importers.databases import Database, Wanted, open_database
from lockstitch_server.importers.weavegraph import SessionRow, StepRow

# One SQL for both databases, but that `?1` is `$1` in Postgres.
#
# The snapshot in `sessions` is a copy of a step, unless somebody has deleted steps by hand, as the crate's manual
# suggests: then it may be all there is.
_NO_SUCH_STEP = """
    s.last_state_json IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM steps t WHERE t.session_id = s.id AND t.step = s.last_step)
"""
_SESSIONS = f"""
    SELECT s.id, s.concurrency_limit,
           (SELECT count(*) FROM steps t WHERE t.session_id = s.id) + CASE WHEN {_NO_SUCH_STEP} THEN 1 ELSE 0 END
    FROM sessions s ORDER BY s.id
"""  # noqa: S608 - made of constants
_STEPS = """
    SELECT step, created_at, state_json, frontier_json, versions_seen_json,
           ran_nodes_json, skipped_nodes_json, updated_channels_json
    FROM steps WHERE session_id = ?1 ORDER BY step
"""
_SNAPSHOT = f"""
    SELECT s.last_step, s.updated_at, s.last_state_json, s.last_frontier_json, s.last_versions_seen_json,
           '[]', '[]', '[]'
    FROM sessions s WHERE s.id = ?1 AND {_NO_SUCH_STEP}
"""  # noqa: S608 - made of constants


class Weavegraph:
    """A weavegraph database: a source of sessions."""

    def __init__(self, database: Database, wanted: Wanted) -> None:
        self._database = database
        self._wanted = wanted

    async def sessions(self) -> AsyncGenerator[SessionRow, None]:
        """The sessions that were asked for, by id."""
        async with aclosing(self._database.rows(_SESSIONS)) as rows:
            async for row in rows:
                if self._wanted(row[0]):
                    yield SessionRow(*row)

    async def steps(self, session: SessionRow) -> AsyncGenerator[StepRow, None]:
        """The steps of a session, lowest first; then the snapshot, if it is none of them."""
        for sql in (_STEPS, _SNAPSHOT):
            async with aclosing(self._database.rows(sql, session.id)) as rows:
                async for row in rows:
                    yield StepRow(session.id, *row)

    async def check(self) -> None:
        """Raises SourceUnusable if these are not weavegraph's tables."""
        for sql in (_SESSIONS, _STEPS, _SNAPSHOT):
            async with aclosing(self._database.rows(f"{sql} LIMIT 0", *[""] * sql.count("?1"))) as rows:
                async for _ in rows:
                    pass


@asynccontextmanager
async def open_source(url: str, wanted: Wanted, connections: int) -> AsyncIterator[Weavegraph]:
    """The weavegraph database at a file's path, a sqlite URL or a postgresql URL. Raises SourceUnusable."""
    async with open_database(url, connections, "weavegraph") as database:
        source = Weavegraph(database, wanted)
        await source.check()
        yield source
