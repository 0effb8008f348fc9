"""Who calls, and what they may do. Knows no transport: calls show a token, or the names in their certificate."""

from lockstitch_server.auth.identity import Identification, TokenAuthenticator
from lockstitch_server.auth.principal import ALL_RIGHTS, Principal, Right

__all__ = ["ALL_RIGHTS", "Identification", "Principal", "Right", "TokenAuthenticator"]
