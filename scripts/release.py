"""Build everything that a release publishes, check it, and publish nothing: `make release`.

    python -m scripts.release                      everything, into dist/release
    python -m scripts.release python chart         these parts
    python -m scripts.release --python python3.13  the wheel is tried with this interpreter only

A part whose tool is missing is listed as left out; with LOCKSTITCH_REQUIRE_ALL=1 that is a failure.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from scripts.release_python import check_wheel, interpreters
from scripts.version import versions

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
VERSION = versions()["pyproject.toml#1"]
ALLOWED_LICENCES = (
    "Apache;BSD;CC0-1.0;ISC;MIT;MPL;Mozilla Public License 2.0;PSF;Unicode-3.0;Unlicense;Zlib"  # as pip-licenses has it
)
"""Parts of names of licences that allow to redistribute what we link to without a change of our own licence."""


class LeftOut(Exception):
    """A part that cannot be built here, with the reason."""


def run(*command: object, directory: Path = ROOT, **environment: str) -> str:
    """The output of a command, which must not fail."""
    done = subprocess.run(
        [str(word) for word in command], cwd=directory, env=os.environ | environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def needs(tool: str) -> str:
    """The path of a tool. Raises LeftOut if there is none."""
    if (found := shutil.which(tool)) is None:
        raise LeftOut(f"there is no {tool}")
    return found


def python(out: Path, chosen: Sequence[str] = ()) -> None:
    """The source distribution, a wheel built from it, their metadata, and the wheel at work in empty environments."""
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", out)
    sdist = out / f"lockstitch-{VERSION}.tar.gz"
    unpacked = out / "unpacked"
    shutil.unpack_archive(sdist, unpacked, filter="data")
    source = unpacked / f"lockstitch-{VERSION}"
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", out, directory=source)
    shutil.rmtree(unpacked)
    wheel = next(out.glob("*.whl"))
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    for interpreter in chosen or interpreters():
        print(f"  {check_wheel(interpreter, wheel)}", flush=True)


def licences(out: Path) -> None:
    """The licences of what the server and its extras need: listed, and each one of the allowed."""
    locked = re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements.lock").read_text())
    command = [BIN / "pip-licenses", "--from=mixed", "--packages", *locked]
    run(*command, "--partial-match", f"--allow-only={ALLOWED_LICENCES}")
    files = ["--with-urls", "--with-license-file", "--no-license-path", "--format=plain-vertical"]
    (out / "third-party-licences.txt").write_text(run(*command, *files))


def sbom(out: Path) -> None:
    """What the image contains of Python packages, as CycloneDX."""
    run(BIN / "cyclonedx-py", "requirements", "requirements.lock", "--pyproject", "pyproject.toml",
        "--mc-type", "application", "--output-reproducible", "--output-file", out / "lockstitch.cdx.json")  # fmt: skip


def chart(out: Path) -> None:
    """The Helm chart, packed by Helm's own library."""
    try:
        import helm_python
    except ModuleNotFoundError:
        raise LeftOut("helm-python-sdk is not installed: make .venv/.deploy") from None
    helm_python.package(ROOT / "deploy" / "helm" / "lockstitch", destination=out)
    if not (out / f"lockstitch-{VERSION}.tgz").exists():
        raise SystemExit(f"Helm made no lockstitch-{VERSION}.tgz")


def rust(out: Path) -> None:
    """The crate, compiled from what the registry would have."""
    needs("cargo")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or out / "target")
    run("scripts/rust.sh", "package", CARGO_TARGET_DIR=str(target))
    shutil.copy(target / "package" / f"lockstitch-{VERSION}.crate", out)


def typescript(out: Path) -> None:
    """The npm package, packed and imported from outside."""
    needs("npm")
    client = ROOT / "client" / "typescript"
    run("npm", "ci", "--silent", "--prefer-offline", directory=client)
    run("npm", "pack", "--silent", "--pack-destination", out, directory=client)
    outside = out / "outside"
    outside.mkdir()
    (outside / "package.json").write_text('{"name": "outside", "private": true, "type": "module"}')
    run("npm", "install", "--silent", "--no-audit", out / f"lockstitch-{VERSION}.tgz", directory=outside)
    print(
        " ",
        run("node", "-e", "import('lockstitch').then(m => console.log(typeof m.Client))", directory=outside),
        end="",
    )
    shutil.rmtree(outside)


def java(out: Path) -> None:
    """The jar with sources and javadoc, after its tests."""
    needs("mvn")
    run("mvn", "--batch-mode", "--quiet", "verify", directory=ROOT / "client" / "java")
    for kind in ("", "-sources", "-javadoc"):
        shutil.copy(ROOT / "client" / "java" / "target" / f"lockstitch-client-{VERSION}{kind}.jar", out)
    shutil.copy(ROOT / "client" / "java" / "pom.xml", out / f"lockstitch-client-{VERSION}.pom")


def go(out: Path) -> None:
    """The Go module as a proxy serves it for the tag client/go/vVERSION, vetted and built by a module outside."""
    needs("go")
    module = "lockstitch.dev/go"
    served = out / "proxy" / module / "@v"
    served.mkdir(parents=True)
    client = ROOT / "client" / "go"
    files = run("git", "ls-files", ".", directory=client).splitlines()
    nested = {Path(name).parent for name in files if name.endswith("/go.mod")}
    with zipfile.ZipFile(served / f"v{VERSION}.zip", "w") as archive:
        for name in files:
            if not nested & set(Path(name).parents):
                archive.write(client / name, f"{module}@v{VERSION}/{name}")
    shutil.copy(client / "go.mod", served / f"v{VERSION}.mod")
    (served / f"v{VERSION}.info").write_text(f'{{"Version": "v{VERSION}"}}')
    (served / "list").write_text(f"v{VERSION}\n")
    outside = out / "outside"
    outside.mkdir()
    (outside / "main.go").write_text(f'package main\n\nimport _ "{module}/lockstitch"\n\nfunc main() {{}}\n')
    elsewhere = run("go", "env", "GOPROXY").strip()
    # A directory that is new in each run: Go indexes modules by their path, and takes them for unchangeable.
    modules = tempfile.mkdtemp(prefix="modules-", dir=out)
    environment = {
        "GOPROXY": f"file://{out / 'proxy'},{elsewhere}",
        "GONOSUMDB": module,
        "GOMODCACHE": modules,
        "GOFLAGS": "-modcacherw",
    }
    run("go", "mod", "init", "outside", directory=outside, **environment)
    run("go", "get", f"{module}@v{VERSION}", directory=outside, **environment)
    run("go", "mod", "tidy", directory=outside, **environment)
    run("go", "vet", ".", f"{module}/lockstitch", directory=outside, **environment)
    run("go", "build", "-o", os.devnull, ".", directory=outside, **environment)
    for directory in (outside, modules):
        shutil.rmtree(directory)


def image(out: Path) -> None:
    """The image, with its size."""
    engine = os.environ.get("ENGINE") or next(filter(shutil.which, ("docker", "podman", "buildah")), None)
    if engine is None or subprocess.run([engine, "info"], capture_output=True).returncode != 0:
        raise LeftOut("there is no docker, podman or buildah that works")
    run("make", "image", f"IMAGE=lockstitch:{VERSION}", f"ENGINE={engine}")
    if engine != "buildah":
        size = int(run(engine, "image", "inspect", "--format", "{{.Size}}", f"lockstitch:{VERSION}"))
        print(f"  lockstitch:{VERSION} has {size / 1e6:.0f} MB")


PARTS: dict[str, Callable[[Path], None]] = {
    each.__name__: each for each in (python, licences, sbom, chart, go, rust, typescript, java, image)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--directory", type=Path, default=ROOT / "dist" / "release")
    parser.add_argument("--python", action="append", default=[], help="an interpreter to try the wheel with")
    options = parser.parse_args()
    parts = PARTS | {"python": partial(python, chosen=options.python)}
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    left_out = []
    for name in options.parts or PARTS:
        out = options.directory.resolve() / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        print(f"{name}: {(PARTS[name].__doc__ or '').strip()}", flush=True)
        try:
            parts[name](out)
        except LeftOut as reason:
            left_out.append(name)
            print(f"  left out: {reason}", flush=True)
    print(f"lockstitch {VERSION}: checked, nothing is published; left out: {', '.join(left_out) or 'nothing'}")
    if left_out and os.environ.get("LOCKSTITCH_REQUIRE_ALL", "0") not in ("", "0"):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
