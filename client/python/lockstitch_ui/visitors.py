"""Who has logged in. Keys stay in this process; browsers hold a random id."""

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from lockstitch_ui.backend import Credentials
from lockstitch_ui.settings import ExplorerSettings

MAX_ADDRESSES = 10_000
"""Addresses whose refused attempts are counted. One more forgets the oldest."""


@dataclass(slots=True)
class _Login:
    credentials: Credentials
    used_at: float


class Visitors:
    """The logins, by the ids in the visitors' cookies."""

    def __init__(self, settings: ExplorerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._logins: OrderedDict[str, _Login] = OrderedDict()

    def login(self, credentials: Credentials) -> str:
        """The id of a new login."""
        visitor = new_visitor()
        self._logins[visitor] = _Login(credentials, self._clock())
        while len(self._logins) > self._settings.max_logins:
            self._logins.popitem(last=False)
        return visitor

    def find(self, visitor: str) -> Credentials | None:
        """The credentials of a login that has not ended; None: there is none. Counts as use of it."""
        login = self._logins.get(visitor)
        if login is None:
            return None
        now = self._clock()
        if now - login.used_at > self._settings.login_seconds:
            del self._logins[visitor]
            return None
        login.used_at = now
        self._logins.move_to_end(visitor)
        return login.credentials

    def logout(self, visitor: str) -> None:
        """End a login, if there is one."""
        self._logins.pop(visitor, None)

    def form_token(self, visitor: str) -> str:
        """What forms of this visitor carry, which no other site can know."""
        return hmac.new(self._secret, visitor.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, visitor: str, token: str) -> bool:
        """Whether a form is one that this explorer has given to this visitor."""
        return hmac.compare_digest(self.form_token(visitor).encode(), token.encode())


def new_visitor() -> str:
    """A random id."""
    return secrets.token_urlsafe(32)


class LoginAttempts:
    """Bounds the attempts to log in, for each address. A successful one is not counted."""

    def __init__(self, settings: ExplorerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._attempts: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, address: str) -> float:
        """Count an attempt. Returns 0, or the seconds after which to try again: then it must not be made."""
        now = self._clock()
        attempts = self._attempts.setdefault(network(address), deque())
        self._attempts.move_to_end(network(address))
        while attempts and now - attempts[0] > self._settings.login_window:
            attempts.popleft()
        if len(attempts) >= self._settings.login_attempts:
            return max(1.0, self._settings.login_window - (now - attempts[0]))
        attempts.append(now)
        if len(self._attempts) > MAX_ADDRESSES:
            self._attempts.popitem(last=False)
        return 0.0

    def succeeded(self, address: str) -> None:
        """Take back the last attempt."""
        attempts = self._attempts.get(network(address))
        if attempts:
            attempts.pop()


def network(address: str) -> str:
    """An address, without the half of an IPv6 address that one host chooses freely."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
