"""Settings of the explorer."""

from dataclasses import dataclass, field

from lockstitch import Tls


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorerSettings:
    """What the explorer shows, to whom, and what it may do.

    target, credentials, tenant, insecure, timeout: the connection to the server, as `lockstitch.AsyncClient` takes it.
    key: the explorer's own key. Visitors use it after they have opened the link with `ticket`; "": there is none.
    ticket: the secret part of the sign-in link; "": no such link works.
    public: whether other machines can reach the explorer. Then nobody sees anything without a key of the server's,
        unless `open_to_all`.
    open_to_all: whether a public explorer may show a server that asks for no credentials.
    secure: whether browsers reach the explorer over TLS, so that cookies are marked Secure.
    host_names: the names in Host headers that are answered, without ports, besides IP addresses; empty: all. This stops
        DNS rebinding.
    port: part of the cookie's name, so that explorers on several ports of one host do not share cookies.
    allow_changes: whether the explorer may change sessions. Without it, every such request is refused.
    trace_url: a link to a trace, with `{trace_id}` in it, such as "https://jaeger.example/trace/{trace_id}"; "": none.
    login_seconds: a login ends after this time without a request.
    max_login_seconds: a login ends after this time.
    max_logins: logins at a time. One more ends the login that was used least recently.
    max_logins_per_key: logins with one key at a time. One more ends the oldest of them.
    login_attempts, login_successes, login_window: refused and successful attempts of an address to log in, within this
        many seconds, before more are refused unseen.
    form_seconds: time for the body of a form to arrive.
    head_seconds: time for the head of a request to arrive, on a new connection and after an answer.
    max_connections: connections at a time. One more gets 503.
    max_connections_per_address: the same for one address, or for one IPv6 network of 64 bits.
    """

    target: str = "127.0.0.1:50051"
    credentials: Tls | None = None
    key: str = field(default="", repr=False)
    tenant: str = ""
    insecure: bool = False
    timeout: float = 30.0
    ticket: str = field(default="", repr=False)
    public: bool = False
    open_to_all: bool = False
    secure: bool = False
    host_names: frozenset[str] = frozenset()
    port: int = 8233
    allow_changes: bool = False
    trace_url: str = ""
    login_seconds: float = 12 * 3600.0
    max_login_seconds: float = 24 * 3600.0
    max_logins: int = 1000
    max_logins_per_key: int = 20
    login_attempts: int = 20
    login_successes: int = 100
    login_window: float = 60.0
    form_seconds: float = 30.0
    head_seconds: float = 10.0
    max_connections: int = 500
    max_connections_per_address: int = 100

    @property
    def has_identity(self) -> bool:
        """Whether the explorer shows credentials of its own to the server. Only visitors with the ticket use them."""
        return bool(self.key) or self.has_certificate

    @property
    def has_certificate(self) -> bool:
        """Whether the explorer can show a certificate of its own to the server."""
        return self.credentials is not None and self.credentials.certificate is not None
