"""SQL kept in files, in blocks that begin with a line of two words.

-- name: <name>          a statement
-- plain: <name>         a statement that plain databases alone have
-- distributed: <name>   a statement that distributed databases alone have
-- part: <name>          a part of statements, which have its name in braces
"""

import re
from collections.abc import Mapping
from importlib.resources import files

from lockstitch_server.storage import buckets
from lockstitch_server.storage.tables import expand

_KINDS = "name|plain|distributed|part"
_BLOCK = re.compile(rf"^-- ({_KINDS}): (\w+)\n(.*?)(?=^-- (?:{_KINDS}): |\Z)", re.MULTILINE | re.DOTALL)


def load(package: str, file: str, *, distributed: bool = False, **words: str) -> Mapping[str, str]:
    """The statements of a file by name, without comments.

    words: what stands in braces, beside the lists of columns, the parts, and the words of `buckets`.
    """
    text = (files(package) / file).read_text(encoding="utf-8")
    blocks: dict[str, dict[str, str]] = {kind: {} for kind in _KINDS.split("|")}
    for kind, name, body in _BLOCK.findall(text):
        blocks[kind][name] = re.sub(r"^\s*--.*\n", "", body, flags=re.MULTILINE).strip()
    filled = {**buckets.words(distributed=distributed), **blocks["part"], **words}
    statements = blocks["name"] | blocks["distributed" if distributed else "plain"]
    return {name: expand(sql, filled).strip() for name, sql in statements.items()}
