"""The command `lockstitch`, also as `python -m lockstitch_server`."""

import sys

OWN = {"lockstitch", "lockstitch_server"}
# What has an extra of its own; everything else comes with `server`.
EXTRAS = {"asyncpg": "postgres"}


def main() -> None:
    """Run the command line."""
    try:
        from lockstitch_server.cli.app import app

        app(prog_name="lockstitch")
    except ModuleNotFoundError as error:
        print(_what_to_install(error), file=sys.stderr)
        sys.exit(2)


def _what_to_install(error: ModuleNotFoundError) -> str:
    name = (error.name or "").partition(".")[0]
    if not name or name in OWN:
        raise error
    extra = EXTRAS.get(name, "server")
    return f"lockstitch: this needs the Python package {name!r}: pip install 'lockstitch[{extra}]'"


if __name__ == "__main__":
    main()
