"""`python -m benchmarks [growth|save ...]`: measure, and print tables."""

import argparse
import os
import platform
from pathlib import Path

from benchmarks import growth, save


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="growth|save", help="what to measure; without it, both")
    parser.add_argument("--seconds", type=float, default=3, help="how long one run of the load takes (3)")
    parser.add_argument("--repeat", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the results to a page, such as docs/benchmarks.md"
    )
    options = parser.parse_args()
    wanted = options.what or ["growth", "save"]
    if unknown := set(wanted) - {"growth", "save"}:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    parts = [f"# Benchmarks\n\n{_machine()}"]
    if "growth" in wanted:
        parts.append(f"## {_title(growth)}\n\n{growth.run(options.repeat)}")
    if "save" in wanted:
        parts.append(f"## {_title(save)}\n\n{save.run(options.seconds, options.repeat)}")
    page = "\n\n".join(parts) + "\n"
    print(page)
    if options.write:
        options.write.write_text(page, encoding="utf-8")


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}."


def _title(module: object) -> str:
    return (module.__doc__ or "").strip().rstrip(".")


if __name__ == "__main__":
    main()
