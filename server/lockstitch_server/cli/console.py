"""Where results for people go: a terminal in colour, or plain text that is not wrapped."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

Item = TypeVar("Item")

INDENT = 2
"""Before rows of names and values."""
GAP = 2
"""Between columns."""
NARROW = 16
"""A column whose cells may be broken over lines is not made narrower than this."""

# Wider than any line: what is piped on is not for this program to wrap.
UNWRAPPED = 100_000


def console() -> Console:
    """Standard output. NO_COLOR, FORCE_COLOR and COLUMNS are respected."""
    wrap = sys.stdout.isatty() or bool(os.environ.get("COLUMNS"))
    return Console(width=None if wrap else UNWRAPPED, highlight=False, markup=False, emoji=False)


def emit(*things: RenderableType) -> None:
    """Print them one below the other. Without a terminal, no line ends in spaces."""
    out = console()
    if out.is_terminal:
        out.print(*things, sep="\n")
        return
    with out.capture() as captured:
        out.print(*things, sep="\n", soft_wrap=out.width == UNWRAPPED)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


@dataclass(frozen=True, slots=True)
class Column(Generic[Item]):
    """A column of a table. One that `may_be_absent` is left out where it has nothing to say.

    whole: its cells are not broken over lines as long as other columns can be made narrower.
    rank: where a terminal is too narrow, columns of the highest ranks are left out first; those of rank 0 never.
    """

    title: str
    cell: Callable[[Item], str]
    right: bool = False
    may_be_absent: bool = True
    whole: bool = False
    rank: int = 0


_Filled = Sequence[tuple[Column[Item], Sequence[str]]]


def table(items: Sequence[Item], columns: Sequence[Column[Item]]) -> Table:
    """A table without lines around it, as wide as the terminal at most."""
    result = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    cells = [[column.cell(item) for item in items] for column in columns]
    filled = zip(columns, cells, strict=True)
    shown = _fitting([each for each in filled if any(each[1]) or not each[0].may_be_absent], console().width)
    for column, _ in shown:
        justify: JustifyMethod = "right" if column.right else "left"
        result.add_column(column.title, justify=justify, overflow="fold", no_wrap=column.whole)
    for row in zip(*(each for _, each in shown), strict=True):
        result.add_row(*row)
    return result


def _fitting(filled: _Filled[Item], width: int) -> _Filled[Item]:
    """Those columns for which there is room."""
    shown = list(filled)
    while sum(_least_width(*each) + GAP for each in shown) - GAP > width:
        last = max(shown, key=lambda each: each[0].rank)
        if not last[0].rank:
            break
        shown.remove(last)
    return shown


def _least_width(column: Column[Item], cells: Sequence[str]) -> int:
    """How narrow a column can be and be read well."""
    width = max(map(cell_len, (column.title, *cells)))
    return width if column.whole else min(width, max(NARROW, cell_len(column.title)))


class Rows:
    """Names and values, one below the other, indented. A value may have many lines, and long ones.

    A table would make every line as wide as the longest.
    """

    def __init__(self, lines: Iterable[tuple[str | Text, str | Text]]) -> None:
        self._lines = [(_as_text(name), _as_text(value)) for name, value in lines]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max((name.cell_len for name, _ in self._lines), default=0)
        before = INDENT + width + GAP
        room = max(options.max_width - before, NARROW)
        for name, value in self._lines:
            start = Text.assemble(" " * INDENT, name, " " * (width - name.cell_len + GAP))
            for line in value.split("\n", allow_blank=True):
                is_short = options.no_wrap or line.cell_len <= room
                for piece in [line] if is_short else line.wrap(console, room, overflow="fold"):
                    yield Text.assemble(start, piece)
                    start = Text(" " * before)


def _as_text(value: str | Text) -> Text:
    return Text(value) if isinstance(value, str) else value


def heading(text: str, note: str = "") -> Text:
    """The title of a part."""
    return Text.assemble((text, "bold cyan"), (f"  {note}" if note else "", "dim"))
