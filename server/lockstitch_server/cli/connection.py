"""How commands reach a server: options that all of them have, and what shows who calls."""

import functools
import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from lockstitch_server.cli import options
from lockstitch_server.cli.output import UNUSABLE, fail

if TYPE_CHECKING:
    from lockstitch import Tls

Command = Callable[..., None]


class Connection(NamedTuple):
    """What the options say. timeout: seconds that a call may take."""

    target: Annotated[str, options.TARGET] = options.DEFAULT_TARGET
    timeout: options.Timeout = 30.0
    tls: Annotated[bool, typer.Option("--tls", help="Use TLS, and trust the roots of the system.")] = False
    ca: Annotated[
        str | None,
        typer.Option("--ca", envvar="LOCKSTITCH_CA", metavar="FILE", help="Use TLS, and trust only these roots."),
    ] = None
    certificate: Annotated[
        str | None,
        typer.Option(envvar="LOCKSTITCH_CERTIFICATE", metavar="FILE", help="The client certificate, for mTLS."),
    ] = None
    private_key: Annotated[
        str | None, typer.Option(envvar="LOCKSTITCH_PRIVATE_KEY", metavar="FILE", help="Its private key.")
    ] = None
    server_name: Annotated[
        str | None,
        typer.Option(envvar="LOCKSTITCH_SERVER_NAME", metavar="NAME", help="The name in the server's certificate."),
    ] = None
    key: Annotated[
        str | None,
        typer.Option(
            envvar="LOCKSTITCH_KEY",
            metavar="KEY",
            help="The bearer key or token. Prefer the variable: other users of the machine can see options.",
        ),
    ] = None
    tenant: Annotated[
        str | None,
        typer.Option(envvar="LOCKSTITCH_TENANT", metavar="NAME", help="The tenant, if the key has several."),
    ] = None
    insecure: Annotated[bool, typer.Option("--insecure", help="Send the key without TLS, even to another machine.")] = (
        False
    )

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection is to use TLS."""
        return bool(self.tls or self.ca or self.certificate or self.target.lower().startswith("https://"))

    def encryption(self) -> "Tls | None":
        """None: there is none. Unusable options end the command."""
        from lockstitch import Tls

        if not self.is_encrypted:
            return None
        try:
            return Tls(self.ca, self.certificate, self.private_key, self.server_name or "")
        except ValueError as error:
            fail(f"{error}: --certificate and --private-key", UNUSABLE)

    def arguments(self) -> dict[str, Any]:
        """What a client wants to know. Unusable options end the command."""
        from lockstitch._target import is_local, parse_target

        encryption = self.encryption()
        try:
            address = parse_target(self.target, has_credentials=encryption is not None)
            if encryption is not None:
                encryption.credentials()  # fails here for files that cannot be read
        except (OSError, ValueError) as error:
            fail(str(error), UNUSABLE)
        if encryption is None and self.key is not None and not (self.insecure or is_local(address.target)):
            fail(
                f"a key would be sent to {self.target} unencrypted: use --tls or --ca, or --insecure where something "
                "else encrypts the connection",
                UNUSABLE,
            )
        shown = {"key": self.key, "tenant": self.tenant or "", "insecure": self.insecure}
        return {"target": self.target, "timeout": self.timeout, "credentials": encryption, **shown}


def connecting(timeout: float) -> Callable[[Command], Command]:
    """Gives a command the options of a connection in place of its parameter `connection`. timeout: the default."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapped(**given: Any) -> None:
            # gRPC's core would write lines of its own to stderr. It reads this when it is imported.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
            found = Connection(**{name: given.pop(name) for name in Connection._fields})
            command(connection=found, **given)

        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [parameter for parameter in own if parameter.name != "connection"]
        parameters += [_parameter(name, timeout if name == "timeout" else None) for name in Connection._fields]
        wrapped.__dict__["__signature__"] = inspect.Signature(parameters)
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapped

    return decorate


def _parameter(name: str, default: object) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=Connection._field_defaults[name] if default is None else default,
        annotation=Connection.__annotations__[name],
    )
