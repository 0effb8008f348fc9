"""Environment variables that look like ours and are not read by anything: most likely mistyped."""

import difflib
import re
from collections.abc import Iterable, Iterator

from lockstitch_server.cli.output import warn

PREFIX = "LOCKSTITCH_"
OF_COMMANDS = ("CONFIG", "TARGET", "CA", "CERTIFICATE", "PRIVATE_KEY", "SERVER_NAME", "KEY", "TENANT")
"""What options of commands are read from, beside the settings."""
SIMILAR = 0.8
_OF_KUBERNETES = re.compile(r"LOCKSTITCH_(\w+_)?(SERVICE_(HOST|PORT\w*)|PORT(_\d+_\w+)?)")
"""Kubernetes makes these in every pod for a service whose name begins with lockstitch."""


def warn_of_mistyped(environment: Iterable[str]) -> None:
    """Write a line to stderr for each variable whose name is nearly that of a known one."""
    known = {PREFIX + name for name in OF_COMMANDS}
    unknown = [name for name in environment if name.startswith(PREFIX) and name not in known]
    if not unknown:
        return
    try:
        from lockstitch_server.cli.settings import (
            known_groups,
            known_settings,
        )  # only where they are needed: it is slow
    except ModuleNotFoundError:  # without the server, whose settings these may be
        return
    groups = [_variable(name) for name in known_groups()]
    known |= {*groups, *map(_variable, known_settings())}
    # The settings complain by themselves of what is unknown inside a group.
    unknown = [name for name in unknown if not name.startswith(tuple(f"{group}__" for group in groups))]
    for name, meant in mistyped(unknown, known):
        warn(f"the environment variable {name} is not read by anything; did you mean {meant}?")


def mistyped(names: Iterable[str], known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names that are not known, each with the known one that it resembles most."""
    every = sorted(known)
    for name in sorted(set(names) - set(every)):
        found = difflib.get_close_matches(name, every, n=1, cutoff=SIMILAR)
        if found and not _OF_KUBERNETES.fullmatch(name):
            yield name, found[0]


def _variable(setting: str) -> str:
    return PREFIX + setting.replace(".", "__").upper()
