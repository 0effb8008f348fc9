"""Executes SQL on a store behind the server's back, as damage or an operator would."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing

import asyncpg

Execute = Callable[[str], Awaitable[None]]


def executor_of(store_url: str) -> Execute:
    """Executes a statement on a store. {schema} stands before names of tables, {bytes} begins a literal of bytes."""

    async def run(sql: str) -> None:
        if store_url.startswith("postgresql:"):
            connection = await asyncpg.connect(store_url)
            await connection.execute(sql.format(schema="lockstitch.", bytes="'\\x"))
            await connection.close()
            return
        with closing(sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None)) as file:
            file.execute(sql.format(schema="", bytes="x'"))

    return run
