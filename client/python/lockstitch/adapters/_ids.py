"""Ids of sessions that are made of several names, so that a prefix selects all below a name.

In each name `~` is written `~0` and `/` is written `~1`, as in JSON Pointer.
"""

ID_BYTES = 255


def join(*names: str) -> str:
    """The id of these names. Raises ValueError if it is too long.

    >>> join("adk", "desk", "ada", "s/1")
    'adk/desk/ada/s~11'
    """
    joined = "/".join(name.replace("~", "~0").replace("/", "~1") for name in names)
    if len(joined.encode()) > ID_BYTES:
        raise ValueError(
            f"the session id {joined!r} has {len(joined.encode())} bytes, and the limit is {ID_BYTES}: choose shorter "
            "names"
        )
    return joined


def split(session_id: str) -> tuple[str, ...]:
    """The names of an id."""
    return tuple(name.replace("~1", "/").replace("~0", "~") for name in session_id.split("/"))
