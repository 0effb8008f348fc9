"""The columns that the schema has by its steps, and how those of a database differ from them.

Versions can be numbered alike and yet not be the same: servers before the first release made tables of other columns
under these numbers.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lockstitch_server.storage.migrations.steps import text_of

_TABLE = re.compile(r"CREATE (TABLE|TYPE) (?:IF NOT EXISTS )?(?:\w+\.)?(\w+) (?:AS )?\(\n(.*?)\n *\)", re.DOTALL)
_COLUMN = re.compile(r"(\w+) ([A-Z]+(?:\[\])?)((?: .*)?)")
_ADDED = re.compile(r"ALTER TABLE (?:\w+\.)?(\w+) ADD COLUMN (?:IF NOT EXISTS )?(.+?);")
_NO_COLUMN = ("PRIMARY ", "UNIQUE ", "CHECK ", "FOREIGN ", "CONSTRAINT ", "--")


class Column(NamedTuple):
    """A column. must: whether whatever writes rows has to know of it."""

    kind: str
    must: bool


Tables = Mapping[str, Mapping[str, Column]]
"""The columns of tables and types, by name."""


def expected(dialect: str, revisions: Sequence[str], kind: str = "TABLE TYPE") -> Tables:
    """The columns that these steps make. kind: of tables, types, or both."""
    tables: dict[str, dict[str, Column]] = {}
    for revision in revisions:
        text = text_of(revision, dialect)
        for made, name, body in _TABLE.findall(text):
            if made not in kind:
                continue
            lines = (line.strip().rstrip(",") for line in body.splitlines())
            tables[name] = dict(_column(line) for line in lines if not line.startswith(_NO_COLUMN))
        for name, column in _ADDED.findall(text):
            tables[name] |= [_column(column)]
    return tables


def _column(text: str) -> tuple[str, Column]:
    found = _COLUMN.match(text)
    if found is None:
        raise ValueError(f"no column: {text!r}")
    name, kind, rest = found.groups()
    return name, Column(kind.lower(), "NOT NULL" in rest and "DEFAULT" not in rest)


def differences(wanted: Tables, found: Tables) -> list[str]:
    """What keeps a server that wants some tables from working with those that are there."""
    told = []
    for table, columns in wanted.items():
        there = found.get(table)
        if there is None:
            told.append(f"there is no table or type {table}")
            continue
        missing = [name for name in columns if name not in there]
        other = [
            f"{name} ({there[name].kind}, not {column.kind})"
            for name, column in columns.items()
            if name in there and there[name].kind.lower() != column.kind
        ]
        more = [name for name, column in there.items() if name not in columns and column.must]
        told += [f"{table} has no {', '.join(missing)}"] if missing else []
        told += [f"{table} has another {', '.join(other)}"] if other else []
        told += [f"{table} wants {', '.join(more)}"] if more else []
    return told


def complaint(name: str, version: str, told: Sequence[str]) -> str:
    """What operators read about a database that differs."""
    return (
        f"{name} calls its schema version {version}, but it is not the schema that this server knows by that version: "
        f"{'; '.join(told)}. An early, incompatible server has made it, or somebody has changed it: use another "
        "database, or the server that made this one"
    )
