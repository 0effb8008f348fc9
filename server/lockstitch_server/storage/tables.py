"""The columns of the tables. SQL files and Python name them through these lists, so each column is named once.

`expand` replaces a list's name in braces within SQL:

    {write}      key, namespace, ...
    {w.write}    w.key, w.namespace, ...
    {write?}     ?, ?, ...
    {write:}     :key, :namespace, ...
    {write$}     $1, $2, ...
    {write=}     task_path = excluded.task_path, ...  without the columns that identify a row
    {write=:}    task_path = :task_path, ...          likewise
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from lockstitch_server.core.format.rows import CheckpointRow, SessionRow, WriteRow

SESSION = SessionRow.STORED
"""Of a session: what a save reads and changes."""
SAVED_SESSION = (*SESSION, "updated_second", "crc")
"""The same, and what is computed from it."""
SETTINGS = (
    "labels",
    "lease_token",
    "lease_holder",
    "lease_acquired_at",
    "lease_expire_at",
    "lease_revision",
    "tombstone_until",
    "keep_last",
    "max_age",
    "deletion_revision",
    "deleted_revision",
    "origin",
)
"""Of a session: what saves leave as it is."""
CHECKPOINT = CheckpointRow.STORED
SAVED_CHECKPOINT = (*CHECKPOINT, "tenant_hash")
SEARCHED_CHECKPOINT = (*SAVED_CHECKPOINT, "terms")
"""On Postgres, where the terms that find a checkpoint stand in its row."""
SEGMENT = ("key", "log", "start", "size", "data", "crc")
WRITE = WriteRow._fields

LISTS: Mapping[str, tuple[str, ...]] = {
    "session": SESSION,
    "saved_session": SAVED_SESSION,
    "settings": SETTINGS,
    "stored_settings": (*SETTINGS, "settings_crc"),
    "checkpoint": CHECKPOINT,
    "saved_checkpoint": SAVED_CHECKPOINT,
    "searched_checkpoint": SEARCHED_CHECKPOINT,
    "segment": SEGMENT,
    "write": WRITE,
}
IDENTITY = {
    "saved_session": frozenset(("key", "tenant", "session_id")),
    "saved_checkpoint": frozenset(("key", "namespace", "checkpoint_id")),
    "searched_checkpoint": frozenset(("key", "namespace", "checkpoint_id")),
    "write": frozenset(("key", "namespace", "checkpoint_id", "task_id", "task_index")),
}
"""Columns that identify a row, which an update leaves as they are."""

_LIST = re.compile(r"\{(?:(\w+)\.)?(\w+)(=:|=|:|\?|\$)?\}")
_FORMS = {None: "{0}", "?": "?", "$": "${1}", ":": ":{0}", "=": "{0} = excluded.{0}", "=:": "{0} = :{0}"}


class Row(Protocol):
    """A row of a database, whose columns are found by name."""

    def __getitem__(self, name: str, /) -> Any: ...


def expand(sql: str, words: Mapping[str, str]) -> str:
    """SQL with its lists of columns, and other words in braces."""

    def replaced(found: re.Match[str]) -> str:
        alias, name, form = found.groups()
        if name in words:
            return expand(words[name].replace("{alias}", f"{alias}." if alias else ""), words)
        left_out = IDENTITY.get(name, frozenset()) if form in ("=", "=:") else frozenset()
        template = f"{alias}.{{0}}" if alias else _FORMS[form]
        columns = [column for column in LISTS[name] if column not in left_out]
        return ", ".join(template.format(column, number) for number, column in enumerate(columns, 1))

    return _LIST.sub(replaced, sql)
