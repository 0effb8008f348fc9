"""What one primary can take by its own limits, with nothing else on the machine: bytes of WAL, and commits."""

import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.results import Figures
from tests.support.postgres import Postgres

COMMITTERS = (16, 64)
"""Connections that commit at once. The best counts."""
WRITERS = (1, 4)
MESSAGE_BYTES = 256 * 1024
LOOP = """
DO $$
DECLARE
    ends timestamptz := clock_timestamp() + interval '{seconds} s';
    done bigint := 0;
BEGIN
    WHILE clock_timestamp() < ends LOOP
        {statement};
        COMMIT;
        done := done + 1;
    END LOOP;
    INSERT INTO done VALUES (done);
END $$
"""
COMMIT = "INSERT INTO small VALUES (done)"
WRITE = f"PERFORM pg_logical_emit_message(true, 'lockstitch', repeat('x', {MESSAGE_BYTES}))"


def limits(postgres: Postgres, seconds: float) -> Figures:
    """Measure a server that does nothing else, by the second.

    wal_rate: bytes that are written and synced. commit_rate: synced commits of one small row.
    """
    postgres.execute("CREATE TABLE small (number bigint); CREATE TABLE done (count bigint)")
    return {
        "wal_rate": max(_loops(postgres, WRITE, each, seconds) for each in WRITERS) * MESSAGE_BYTES,
        "commit_rate": max(_loops(postgres, COMMIT, each, seconds) for each in COMMITTERS),
    }


def _loops(postgres: Postgres, statement: str, connections: int, seconds: float) -> float:
    """How often a second a number of connections does a statement and commits."""
    postgres.execute("TRUNCATE done")
    begin = time.perf_counter()
    with ThreadPoolExecutor(connections) as threads:
        loop = LOOP.format(statement=statement, seconds=seconds)
        list(threads.map(postgres.execute, [loop] * connections))
    took = time.perf_counter() - begin
    return int(postgres.execute("SELECT sum(count) FROM done")) / took
