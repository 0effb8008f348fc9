"""Rates of contestants side by side: in every repeat everybody, in turn, at every size and concurrency."""

import sys
from collections.abc import Iterable

from benchmarks.contestants import Contestant
from benchmarks.options import Options
from benchmarks.results import Label, Results


def compare(
    part: str,
    contestants: list[Contestant],
    options: Options,
    results: Results,
    settings: Iterable[dict[str, Label]],
    **labels: Label,
) -> None:
    """Measure everybody in every setting (fields of the job), once."""
    for setting in settings:
        for contestant in contestants:
            figures = contestant.run(seconds=options.seconds, **setting)
            results.add(part, figures, name=contestant.name, **setting, **labels)
            tell(f"{part}: {contestant.name}, {_words(setting | labels)}: {figures['rate']:,.0f}/s")


def tell(what: str) -> None:
    """Show progress."""
    print(what, file=sys.stderr, flush=True)


def _words(setting: dict[str, Label]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in setting.items())
