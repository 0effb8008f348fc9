"""Questions before data is deleted."""

import sys
from typing import Annotated

import typer

from lockstitch_server.cli.output import FAILED, UNUSABLE, fail

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation. Needed without a terminal.")]


def confirm(question: str, yes: bool) -> None:
    """Ask on the terminal. Without one, or after any answer but yes, the command ends with nothing done."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail("this cannot be undone, and there is no terminal to ask on; add --yes", UNUSABLE)
    if not typer.confirm(question, err=True):
        fail("nothing was done", FAILED)
