"""`python -m benchmarks [part ...]`: measure, show tables, and write them down with `--write`."""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.machine import about
from benchmarks.options import QUICK, TINY, Options
from benchmarks.parts import PARTS
from benchmarks.parts.rates import tell
from benchmarks.report.page import page, write
from benchmarks.results import Results


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"what to measure: {', '.join(PARTS)}; without it, everything")
    parser.add_argument("--seconds", type=float, help="how long one run is measured (1.5)")
    parser.add_argument("--repeat", type=int, help="how often everything is measured (3)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: a few minutes")
    parser.add_argument("--tiny", action="store_true", help="see that it works; the figures mean nothing")
    parser.add_argument("--write", type=Path, metavar="DIR", help="where the page, plots and raw figures go")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing, show these raw figures")
    arguments = parser.parse_args()
    if unknown := set(arguments.part) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    results = Results.read(arguments.read) if arguments.read else measure(arguments.part, _options(arguments))
    print(page(results))
    if arguments.write:
        write(results, arguments.write)


def measure(parts: list[str], options: Options) -> Results:
    """Measure some of the parts, or all."""
    results = Results(about(options))
    for name in parts or PARTS:
        begun = time.monotonic()
        PARTS[name](options, results)
        tell(f"{name}: {time.monotonic() - begun:.0f} s")
    return results


def _options(arguments: argparse.Namespace) -> Options:
    options = TINY if arguments.tiny else QUICK if arguments.quick else Options()
    given = {name: getattr(arguments, name) for name in ("seconds", "repeat") if getattr(arguments, name) is not None}
    return replace(options, **given)


if __name__ == "__main__":
    main()
