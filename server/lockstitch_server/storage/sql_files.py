"""SQL kept in files: blocks that begin with a line `-- name: <name>`."""

import re
from collections.abc import Mapping
from importlib.resources import files

from lockstitch_server.storage.tables import expand

_BLOCK = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


def load(package: str, file: str, **words: str) -> Mapping[str, str]:
    """The blocks of a file by name, without comments. words: what stands in braces, beside the lists of columns."""
    text = (files(package) / file).read_text(encoding="utf-8")
    blocks = {name: re.sub(r"^\s*--.*\n", "", body, flags=re.MULTILINE) for name, body in _BLOCK.findall(text)}
    return {name: expand(sql, words).strip() for name, sql in blocks.items()}
