"""SQL kept in files: blocks that begin with a line `-- name: <name>`."""

import re
from collections.abc import Mapping
from importlib.resources import files

_BLOCK = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


def load(package: str, file: str, words: Mapping[str, str]) -> Mapping[str, str]:
    """The blocks of a file by name, without comments, with some words put in place of others."""
    text = (files(package) / file).read_text(encoding="utf-8")
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return {name: re.sub(r"^\s*--.*\n", "", body, flags=re.MULTILINE).strip() for name, body in _BLOCK.findall(text)}
