"""Where sessions and shared state are on the server.

`adk/<app>/<user>/<id>` is a session, `adk/<app>/<user>` the state of a user, `adk/<app>` that of an app. In each part
`~` is written `~0` and `/` is written `~1`, as in JSON Pointer.
"""

ROOT = "adk"
KEY_BYTES = 255


def key(*parts: str) -> str:
    """The id of a session on the server: app, and user, and the session's own id. Raises ValueError if it is too long.

    >>> key("desk", "ada", "s/1")
    'adk/desk/ada/s~11'
    """
    joined = "/".join([ROOT, *(part.replace("~", "~0").replace("/", "~1") for part in parts)])
    if len(joined.encode()) > KEY_BYTES:
        raise ValueError(
            f"app_name, user_id and session_id are {', '.join(map(repr, parts))}: {joined!r} has "
            f"{len(joined.encode())} bytes, and the limit is {KEY_BYTES}; choose shorter ones"
        )
    return joined


def below(*parts: str) -> str:
    """How all ids below an app, or below a user, begin."""
    return key(*parts) + "/"


def parts(session_id: str) -> tuple[str, ...]:
    """App, and user, and the session's own id."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in session_id.split("/")[1:])
