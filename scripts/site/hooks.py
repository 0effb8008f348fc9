"""Hooks of MkDocs: pages that come from code, and links that leave docs/."""

import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.site import commands, contract, events, python_api  # noqa: E402 - MkDocs runs this file by its path

GENERATED = {
    "reference/commands.md": commands.page,
    "reference/contract.md": contract.contract_page,
    "reference/errors.md": contract.errors_page,
    "reference/events.md": events.page,
    "reference/python.md": python_api.page,
}
ON_THE_SITE = {
    ROOT / "proto" / "lockstitch" / "v1": "reference/contract.md",
    ROOT / "proto" / "lockstitch" / "v1" / "error.proto": "reference/errors.md",
}
"""What has a page here that is easier to read."""
_LINK = re.compile(r"(?<=\]\()(\.\.?/[^)#\s]+)(#[^)\s]*)?(?=\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decisions, whatever their number."""
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("0*.md"))
    nav: list[dict[str, Any]] = config.nav or []
    next(group for group in nav if "Decisions" in group)["Decisions"] += [f"decisions/{name}" for name in decisions]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that come from code."""
    for path, page in GENERATED.items():
        files.append(File.generated(config, path, content=page()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Files outside docs/ are not on the site: link to the page that is made from them, or to the repository."""
    if page.file.src_uri in GENERATED:
        return markdown.replace(
            "](../../proto/lockstitch/v1)", f"]({config.extra['repository']}/tree/main/proto/lockstitch/v1)"
        )
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def replace(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        if target.is_relative_to(ROOT / "docs") or not target.exists():
            return link[0]
        if target in ON_THE_SITE:
            return os.path.relpath(ROOT / "docs" / ON_THE_SITE[target], folder)
        kind = "tree" if target.is_dir() else "blob"
        return f"{config.extra['repository']}/{kind}/main/{target.relative_to(ROOT)}{link[2] or ''}"

    return _LINK.sub(replace, markdown)
