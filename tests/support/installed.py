"""What an installation holds that was made with some of the extras, and with nothing else."""

import importlib.metadata
from collections.abc import Collection
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def requirements(distribution: str, extras: Collection[str] = ()) -> set[str]:
    """Names of what it needs with these extras, and of what those need."""
    found = set()
    for requirement in map(Requirement, importlib.metadata.requires(distribution) or []):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found |= {canonicalize_name(requirement.name), *requirements(requirement.name, requirement.extras)}
    return found


def link_requirements(directory: Path, distribution: str, extras: Collection[str] = ()) -> None:
    """Put what it needs into a directory for modules."""
    for name in requirements(distribution, extras):
        for file in importlib.metadata.files(name) or []:
            target = directory / file
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(file.locate().__fspath__())
