"""Where sessions and shared state are on the server.

`adk/<app>/<user>/<id>` is a session, `adk/<app>/<user>` the state of a user, `adk/<app>` that of an app.
"""

from lockstitch.adapters import _ids

ROOT = "adk"


def key(*parts: str) -> str:
    """The id of a session on the server: app, and user, and the session's own id. Raises ValueError if it is too long.

    >>> key("desk", "ada", "s/1")
    'adk/desk/ada/s~11'
    """
    return _ids.join(ROOT, *parts)


def below(*parts: str) -> str:
    """How all ids below an app, or below a user, begin."""
    return key(*parts) + "/"


def parts(session_id: str) -> tuple[str, ...]:
    """App, and user, and the session's own id."""
    return _ids.split(session_id)[1:]
