"""Namespaces that the server does not take: those of deep subgraphs are longer than 512 bytes.

They are stored under a hash of theirs, and stand in the checkpoint's header as they are.
"""

import hashlib
import re

MOST_BYTES = 512
KEY = "checkpoint_ns"
"""In the header, where the namespace is stored under another name."""
_HASHED = "sha256:"
# Of threads that the server has taken before, none has another name now: these are its rules.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def stored(namespace: str) -> str:
    """The name that a namespace is stored under: its own, wherever the server takes that."""
    data = namespace.encode(errors="surrogatepass")
    if len(data) <= MOST_BYTES and not namespace.startswith(_HASHED) and not _CONTROL.search(namespace):
        return namespace
    return _HASHED + hashlib.sha256(data).hexdigest()
