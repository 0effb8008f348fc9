"""Completion of session ids in a shell: asks the server, does not wait long, and is silent where it fails."""

import contextlib
import os
import re
from typing import Annotated

import typer

from lockstitch_server.cli.connection import Connection

SECONDS = 1.0
MOST = 50
SAFE = re.compile(r"[A-Za-z0-9_.,:/@%+=][A-Za-z0-9_.,:/@%+=-]*")
"""Ids that mean nothing else to a shell, and are no option. Others are not offered: shells put them on the command
line as they are."""


def session_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of sessions that begin so, last changed first; none where the server does not tell them quickly."""
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            return _asked(context, incomplete)
    except (Exception, SystemExit):  # anything but silence would be printed into the command line
        return []


def _asked(context: typer.Context, incomplete: str) -> list[str]:
    from lockstitch import Client

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    given = {name: value for name in Connection._fields if (value := context.params.get(name)) is not None}
    connection = Connection(**given)._replace(timeout=SECONDS)
    with Client(**connection.arguments(), retry=False) as client:
        pages = client.list_sessions(session_id_prefix=incomplete, page_size=MOST).pages()
        found = [each.session_id for each in next(iter(pages)).items]
    return [each for each in found if SAFE.fullmatch(each)]


Session = Annotated[str, typer.Argument(metavar="SESSION", help="Id of the session.", autocompletion=session_ids)]
