"""What was measured: single runs, and the medians of those that are alike."""

import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

Label = str | int
Figures = dict[str, float]


@dataclass(frozen=True)
class Run:
    """One thing, measured once. Times are in seconds, sizes in bytes."""

    part: str
    labels: dict[str, Label]
    figures: Figures


@dataclass
class Results:
    """All of it."""

    about: dict[str, str] = field(default_factory=dict)
    """The machine, versions, and how it was measured."""
    missing: dict[str, str] = field(default_factory=dict)
    """What could not be measured, and why."""
    runs: list[Run] = field(default_factory=list)

    def add(self, part: str, figures: dict[str, float | None], **labels: Label) -> None:
        """Keep a run."""
        known = {name: figure for name, figure in figures.items() if figure is not None}
        self.runs.append(Run(part, labels, known))

    def median(self, part: str, figure: str, **labels: Label) -> float | None:
        """Of all the runs with these labels; None where there is none."""
        found = [run.figures[figure] for run in self.matching(part, **labels) if figure in run.figures]
        return statistics.median(found) if found else None

    def ratio(self, part: str, figure: str, one: dict[str, Label], other: dict[str, Label]) -> float | None:
        """How many times the other the one is: the median over the repeats, in each of which both were measured."""
        pairs = zip(self.matching(part, **one), self.matching(part, **other), strict=False)
        ratios = [above.figures[figure] / below.figures[figure] for above, below in pairs if below.figures[figure]]
        return statistics.median(ratios) if ratios else None

    def values(self, part: str, label: str) -> list[Label]:
        """The values of a label, in the order in which they came."""
        return list(dict.fromkeys(run.labels[label] for run in self.matching(part) if label in run.labels))

    def matching(self, part: str, **labels: Label) -> Iterator[Run]:
        """The runs with these labels."""
        return (run for run in self.runs if run.part == part and labels.items() <= run.labels.items())

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """From JSON."""
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(data["about"], data["missing"], [Run(**run) for run in data["runs"]])
