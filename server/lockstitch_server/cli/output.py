"""How commands end, and what they write: results to stdout, everything else to stderr."""

from collections.abc import Iterable
from typing import NoReturn

import typer

# Exit codes. docs/cli.md has the rule, with every case.
FAILED = 1  # the command ran, and the result is negative: not found, not healthy, damaged, left out, a call failed
UNUSABLE = 2  # the command cannot run: wrong usage or settings, or a package, file or store that cannot be used


def fail(message: str | Iterable[str], code: int = FAILED) -> NoReturn:
    """End with that code, after a readable line (or several, if there are several reasons) on stderr."""
    for line in [message] if isinstance(message, str) else message:
        typer.echo(f"lockstitch: {one_line(line)}", err=True)
    raise typer.Exit(code)


def warn(message: str) -> None:
    """A line on stderr; the command goes on."""
    typer.echo(f"lockstitch: warning: {one_line(message)}", err=True)


def one_line(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would act upon."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    r"""The text with control characters written as \x1b: those of stored text must not reach a terminal."""
    return text if text.isprintable() else text.translate(_ESCAPES)


class _Escapes(dict[int, str]):
    """What is written for each character, by its code point."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        found = char if char.isprintable() else char.encode("unicode_escape").decode()
        self[code] = found
        return found


_ESCAPES = _Escapes()
