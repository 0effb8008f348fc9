"""Where the transcripts of a session are: which session, which namespace, which channel.

A session of the SDK is a session `claude/<project>/<session>`. Its root namespace has the main transcript, a list of
entries, and the SDK's summary of it. Each subagent's transcript has a namespace of its own, `subagent/<subpath>`. The
namespace `subpaths` lists them: subpaths are added to it before their first entry is stored, and stay in it.
"""

from collections.abc import Mapping
from typing import Any

from lockstitch.v1.checkpoint_pb2 import TypedBlob

TYPE = "lockstitch.claude-agent-sdk"
TRANSCRIPT = TypedBlob(type=TYPE, data=b"1")
"""The header of checkpoints."""
DELETED = TypedBlob(type=TYPE, data=b"deleted")
"""The header of the last checkpoint of a transcript that was deleted while its session stays."""

ENTRIES, SUMMARY, SUBPATHS = "entries", "summary", "subpaths"
SUBAGENT = "subagent/"
INDEX = "subpaths"
"""The namespace of the list of subpaths."""


def project_prefix(prefix: str, project_key: str) -> str:
    """How the ids of a project's sessions begin.

    >>> project_prefix("claude/", "team/a")
    'claude/team%2Fa/'
    """
    return f"{prefix}{_quoted(project_key)}/"


def session_name(prefix: str, key: Mapping[str, Any]) -> str:
    """The session of a key."""
    return project_prefix(prefix, key["project_key"]) + _quoted(key["session_id"])


def sdk_session_id(prefix: str, project_key: str, session_id: str) -> str:
    """The SDK's id of a session of this project."""
    found = session_id.removeprefix(project_prefix(prefix, project_key))
    return found.replace("%2F", "/").replace("%25", "%")


def namespace(key: Mapping[str, Any]) -> str:
    """The namespace of a key's transcript. Raises ValueError for an empty subpath."""
    if "subpath" not in key or key["subpath"] is None:
        return ""
    if not key["subpath"]:
        raise ValueError("subpath is empty: leave it out for the main transcript")
    return f"{SUBAGENT}{key['subpath']}"


def subpath(namespace: str) -> str:
    """The subpath of a namespace; "" if it is not that of a subagent."""
    return namespace.removeprefix(SUBAGENT) if namespace.startswith(SUBAGENT) else ""


def channel(name: str) -> str:
    """A channel as loads name it."""
    return f"custom/{name}"


def _quoted(part: str) -> str:
    return part.replace("%", "%25").replace("/", "%2F")
