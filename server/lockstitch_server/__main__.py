"""The command `lockstitch`, also as `python -m lockstitch` and `python -m lockstitch_server`."""

import errno
import os
import sys
from typing import TYPE_CHECKING

from lockstitch_server import __version__

if TYPE_CHECKING:
    import typer

OWN = {"lockstitch", "lockstitch_server"}
# What has an extra of its own; everything else comes with `server`.
EXTRAS = {"asyncpg": "postgres"}
CLI = {"grpc_health", "orjson", "rich", "typer"}
"""Packages of the extra `cli`, which is enough for the commands that call a server; `server` has them, too."""
NEED_SERVER = {"backup", "check", "config", "export", "import", "keys", "migrate", "serve"}
FAILED, UNUSABLE = 1, 2
UNWRITABLE = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main() -> None:
    """Run the command line."""
    try:
        from lockstitch_server.cli.app import app

        code = _run(app)
    except ModuleNotFoundError as error:
        if sys.argv[1:] == ["--version"]:  # needs no package, so that the client alone can be asked
            print(f"lockstitch {__version__}")
            sys.exit(0)
        print(_what_to_install(error), file=sys.stderr)
        code = UNUSABLE
    sys.exit(code)


def _run(app: "typer.Typer") -> int:
    """The exit code. If output cannot be written, a line says so, unless its reader has left."""
    code = 0
    try:
        try:
            app(prog_name="lockstitch")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else FAILED
        if sys.stdout is not None:  # somebody may have closed it
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename is not None:
            print(f"lockstitch: {_told(error)}", file=sys.stderr)
            return FAILED
        # What is still in the buffer would be tried again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno != errno.EPIPE:
            print(f"lockstitch: cannot write the output: {error.strerror}", file=sys.stderr)
        code = FAILED
    return code


def _told(error: OSError) -> str:
    """What the operating system does not let a command do, which no command can mend."""
    about = f": {error.filename}" if error.filename is not None else ""
    hint = "; raise the limit of open files (ulimit -n)" if error.errno == errno.EMFILE else ""
    return f"{error.strerror or error}{about}{hint}"


def _what_to_install(error: ModuleNotFoundError) -> str:
    name = (error.name or "").partition(".")[0]
    if not name or name in OWN:
        raise error
    calls_a_server = NEED_SERVER.isdisjoint(sys.argv[1:2])
    extra = "cli" if name in CLI and calls_a_server else EXTRAS.get(name, "server")
    return f"lockstitch: this needs the Python package {name!r}: pip install 'lockstitch[{extra}]'"


if __name__ == "__main__":
    main()
