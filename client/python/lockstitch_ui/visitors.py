"""Who has logged in. Keys stay in this process; browsers hold a random id."""

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from lockstitch_ui.backend import Credentials
from lockstitch_ui.settings import ExplorerSettings

MAX_ADDRESSES = 10_000
"""Addresses whose refused attempts are counted. One more forgets the oldest."""


@dataclass(slots=True)
class _Login:
    credentials: Credentials
    began_at: float
    used_at: float

    def has_ended(self, now: float, settings: ExplorerSettings) -> bool:
        """Pages that stay open use it all the time, so it has an end of its own."""
        return now - self.used_at > settings.login_seconds or now - self.began_at > settings.max_login_seconds


class Visitors:
    """The logins, by the ids in the visitors' cookies."""

    def __init__(self, settings: ExplorerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._logins: OrderedDict[str, _Login] = OrderedDict()

    def login(self, credentials: Credentials) -> str:
        """The id of a new login. It ends the oldest of the same key, or the least recently used of all, if it must."""
        visitor, now = new_visitor(), self._clock()
        # Not of the same credentials: a key of all tenants can log in with any tenant's name.
        same = [each for each, login in self._logins.items() if login.credentials.key == credentials.key]
        if len(same) >= self._settings.max_logins_per_key:
            del self._logins[min(same, key=lambda each: self._logins[each].began_at)]
        self._logins[visitor] = _Login(credentials, now, now)
        while len(self._logins) > self._settings.max_logins:
            self._logins.popitem(last=False)
        return visitor

    def find(self, visitor: str) -> Credentials | None:
        """The credentials of a login that has not ended; None: there is none. Counts as use of it."""
        login = self._logins.get(visitor)
        if login is None:
            return None
        now = self._clock()
        if login.has_ended(now, self._settings):
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


@dataclass(slots=True)
class _Attempts:
    """When one address has tried to log in. An attempt counts as refused until it succeeds."""

    refused: deque[float] = field(default_factory=deque)
    succeeded: deque[float] = field(default_factory=deque)


class LoginAttempts:
    """Bounds the attempts to log in, for each address: those that were refused, and those that succeeded."""

    def __init__(self, settings: ExplorerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._attempts: OrderedDict[str, _Attempts] = OrderedDict()

    def begin(self, address: str) -> float:
        """Count an attempt. Returns 0, or the seconds after which to try again: then it must not be made."""
        attempts = self._attempts.setdefault(network(address), _Attempts())
        self._attempts.move_to_end(network(address))
        wait = max(
            self._wait(attempts.refused, self._settings.login_attempts),
            self._wait(attempts.succeeded, self._settings.login_successes),
        )
        if wait:
            return wait
        attempts.refused.append(self._clock())
        if len(self._attempts) > MAX_ADDRESSES:
            self._attempts.popitem(last=False)
        return 0.0

    def succeeded(self, address: str) -> None:
        """The last attempt of the address was not refused."""
        attempts = self._attempts.get(network(address))
        if attempts and attempts.refused:
            attempts.succeeded.append(attempts.refused.pop())

    def _wait(self, times: deque[float], limit: int) -> float:
        """The seconds until there are fewer than `limit` in the window; forgets those before it."""
        now, window = self._clock(), self._settings.login_window
        while times and now - times[0] > window:
            times.popleft()
        return max(1.0, window - (now - times[0])) if len(times) >= limit else 0.0


def network(address: str) -> str:
    """An address, without the half of an IPv6 address that one host chooses freely."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
