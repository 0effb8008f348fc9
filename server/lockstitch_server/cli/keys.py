"""Commands for the file of bearer keys: keys create, keys list, keys revoke."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from lockstitch_server.cli import options
from lockstitch_server.cli.output import FAILED, UNUSABLE, fail, printable
from lockstitch_server.cli.serve import effective

app = typer.Typer(help="Create, list and revoke bearer keys.", no_args_is_help=True)

File = Annotated[
    str | None,
    typer.Option("--file", metavar="FILE", help="The file of keys. Default: the setting auth.keys."),
]


@app.callback()
def keys() -> None:
    """Create, list and revoke bearer keys. The file has their hashes only; servers see changes by themselves."""


@app.command()
def create(
    principal: Annotated[str, typer.Argument(metavar="PRINCIPAL", help="Name of the caller, as logs show it.")],
    tenant: Annotated[
        list[str] | None,
        typer.Option(metavar="TENANT", help="Whose sessions it opens. Can be repeated; without it: default."),
    ] = None,
    right: Annotated[
        list[str] | None,
        typer.Option(metavar="RIGHT", help="A right: read, write or admin. Can be repeated. Default: read and write."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, metavar="N", help="Days until the key expires.")
    ] = None,
    file: File = None,
    config: options.ConfigFile = None,
) -> None:
    """Create a key and print it. It cannot be printed again: the file holds only its hash.

    A principal may have several keys, so that a new key can be in use before the old one is revoked.
    """
    from lockstitch_server.auth import key_file
    from lockstitch_server.auth.key_changes import changed
    from lockstitch_server.auth.principal import make_principal

    now = datetime.now(UTC).replace(microsecond=0)
    key_id, token = key_file.new_token()
    with _told(_path(file, config)) as path, changed(path) as known:
        made = make_principal(principal, tenant or ["default"], right or ["read", "write"])
        known[key_id] = key_file.Key(
            id=key_id,
            sha256=key_file.hash_of(token),
            principal=made.name,
            tenants=made.tenants,
            rights=tuple(sorted(made.rights)),
            created_at=now,
            expires_at=now + timedelta(days=days) if days else None,
        )
    typer.echo(token)


@app.command("list")
def list_keys(file: File = None, config: options.ConfigFile = None, as_json: options.AsJson = False) -> None:
    """List the keys, without their secrets. With --json: one a line."""
    from lockstitch_server.auth import key_file

    with _told(_path(file, config)) as path:
        known = key_file.parse(path.read_bytes())
    now = datetime.now(UTC)
    for key in known.values():
        shown = key.model_dump(mode="json", exclude={"sha256"})
        typer.echo(json.dumps(shown) if as_json else _line(shown, key_file.expired(key, now)))


@app.command()
def revoke(
    key_id: Annotated[
        list[str], typer.Argument(metavar="ID", help="Id of the key: the part after lsk_. Can be repeated.")
    ],
    file: File = None,
    config: options.ConfigFile = None,
) -> None:
    """Remove keys from the file.

    Running servers refuse them within a second, and end their streams within a few seconds.
    """
    from lockstitch_server.auth.key_changes import changed

    path = _path(file, config)
    if not path.exists():
        fail(f"there is no file {path.absolute()}: name the file of keys by --file", UNUSABLE)
    with _told(path), changed(path) as known:
        if unknown := [one for one in key_id if one not in known]:
            fail(f"there is no key {', '.join(map(repr, unknown))}; nothing was revoked", FAILED)
        for one in set(key_id):
            del known[one]


def _path(file: str | None, config: str | None) -> Path:
    path = file or effective(config, None).settings.auth.keys
    if not path:
        fail("there is no file of keys: name one by --file or the setting auth.keys (LOCKSTITCH_AUTH__KEYS)", UNUSABLE)
    return Path(path)


@contextmanager
def _told(path: Path) -> Iterator[Path]:
    """The path; what goes wrong with it ends the command with a line that says so."""
    try:
        yield path
    except OSError as error:
        fail(f"{path}: {error.strerror}", UNUSABLE)
    except ValueError as error:
        fail(str(error), UNUSABLE)


def _line(shown: dict[str, object], expired: bool) -> str:
    tenants, rights = (",".join(map(str, _items(shown[name]))) for name in ("tenants", "rights"))
    until = f"expired {shown['expires_at']}" if expired else f"until {shown['expires_at'] or 'revoked'}"
    return printable(f"{shown['id']}  {shown['principal']}  {tenants}  {rights}  since {shown['created_at']}  {until}")


def _items(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
