"""The version of everything that is released: pyproject.toml has it. This compares all other files, or writes it.

    python3 scripts/version.py          print the version; fail if a file has another one
    python3 scripts/version.py 0.2.0    write this version to all files

Go has no file with a version: the tag client/go/vVERSION is the version of the Go module.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "pyproject.toml"
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
ANY = r"([0-9][0-9A-Za-z.+-]*)"
PLACES: dict[str, list[str]] = {
    SOURCE: [rf'(?m)^version = "{ANY}"$'],
    "client/rust/Cargo.toml": [rf'(?m)\A\[package\]\n(?:(?!\[).*\n)*?version = "{ANY}"$'],
    "client/rust/Cargo.lock": [rf'name = "lockstitch"\nversion = "{ANY}"'],
    "benchmarks/weavegraph/Cargo.lock": [rf'name = "lockstitch"\nversion = "{ANY}"'],
    "client/typescript/package.json": [rf'\A\{{\n  "name": "lockstitch",\n  "version": "{ANY}"'],
    "client/typescript/package-lock.json": [
        rf'\A\{{\n  "name": "lockstitch",\n  "version": "{ANY}"',
        rf'"": \{{\n      "name": "lockstitch",\n      "version": "{ANY}"',
    ],
    "client/java/pom.xml": [rf"<artifactId>lockstitch-client</artifactId>\s*<version>{ANY}</version>"],
    "deploy/helm/lockstitch/Chart.yaml": [rf"(?m)^version: {ANY}$", rf'(?m)^appVersion: "{ANY}"$'],
    "docs/clients/java.md": [rf"<artifactId>lockstitch-client</artifactId>\s*<version>{ANY}</version>"],
    "docs/deployment.md": [rf"IMAGE=registry\.example\.org/lockstitch:{ANY} ", rf'/lockstitch, tag: "{ANY}"'],
}
"""File -> a pattern for each place in it whose first group is the version."""


def versions() -> dict[str, str]:
    """Place -> version. Raises ValueError if a file lacks a place."""
    found = {}
    for name, patterns in PLACES.items():
        text = (ROOT / name).read_text()
        for number, pattern in enumerate(patterns, 1):
            match = re.search(pattern, text)
            if match is None:
                raise ValueError(f"{name}: no version where one belongs: {pattern}")
            found[f"{name}#{number}"] = match[1]
    return found


def write(version: str) -> None:
    """Write a version to all places."""
    for name, patterns in PLACES.items():
        text = (ROOT / name).read_text()
        for pattern in patterns:
            match = re.search(pattern, text)
            assert match is not None, (name, pattern)
            text = text[: match.start(1)] + version + text[match.end(1) :]
        (ROOT / name).write_text(text)


def main() -> None:
    if len(sys.argv) > 1:
        if SEMVER.fullmatch(sys.argv[1]) is None:
            raise SystemExit(f"'{sys.argv[1]}' is not MAJOR.MINOR.PATCH")
        write(sys.argv[1])
    found = versions()
    if len(set(found.values())) != 1:
        raise SystemExit("versions differ:\n" + "\n".join(f"  {place}: {version}" for place, version in found.items()))
    print(next(iter(found.values())))


if __name__ == "__main__":
    main()
