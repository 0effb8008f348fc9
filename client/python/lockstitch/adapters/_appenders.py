"""The appenders of an adapter: those used last, so that an append need not ask for the latest checkpoint first."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from lockstitch._api import Api
from lockstitch._appending import Appender

MOST_APPENDERS = 1024

Name = tuple[str, str]
"""Session id and namespace."""


class Appenders:
    """Appenders by client and name. Threads may share it. One that is forgotten costs its successor a load.

    make: a new appender.
    most: how many are kept, beside those that are needed: an append of unknown outcome is forgotten with its appender.
    """

    def __init__(self, make: Callable[[Api, str, str], Appender], most: int = MOST_APPENDERS) -> None:
        self._make = make
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Api, Name], Appender] = OrderedDict()

    def get(self, api: Api, session_id: str, namespace: str = "") -> Appender:
        """The appender of this name."""
        key = (api, (session_id, namespace))
        with self._lock:
            appender = self._known.get(key) or self._make(api, session_id, namespace)
            self._known[key] = appender
            self._known.move_to_end(key)
            for known in self._unneeded():
                del self._known[known]
        return appender

    def _unneeded(self) -> list[tuple[Api, Name]]:
        """The appenders to forget, those used longest ago first."""
        surplus = len(self._known) - self._most
        if surplus <= 0:
            return []
        return list(islice((key for key, appender in self._known.items() if not appender.is_needed), surplus))

    def of_session(self, api: Api, session_id: str) -> list[Appender]:
        """The appenders of a session that are known."""
        with self._lock:
            known = list(self._known.items())
        return [found for (client, name), found in known if client is api and name[0] == session_id]
