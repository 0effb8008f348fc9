"""Templates. Every value that a template prints is escaped, and its control characters are made visible."""

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from lockstitch_ui import text, urls
from lockstitch_ui.views.timeline import signed


def environment() -> Environment:
    """The templates of this package, with filters and functions for all of them."""
    templates = Environment(
        loader=PackageLoader("lockstitch_ui"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters.update(size=text.size, duration=text.duration, age=text.age, moment=text.moment)
    templates.filters.update(exact=exact, number=number, quoted=quoted, signed=signed)
    templates.globals.update(
        session_url=urls.session_url,
        checkpoint_url=urls.checkpoint_url,
        change_url=urls.change_url,
        value_url=urls.value_url,
        value_urls=urls.value_urls,
        download_url=urls.download_url,
        channel_urls=urls.channel_urls,
        diff_url=urls.diff_url,
        with_query=urls.with_query,
    )
    return templates


def exact(value: object) -> Markup:
    """A value as it is, escaped: for form fields, whose text comes back. Everything else is printed as `visible`."""
    return escape(str(value))


def quoted(value: str) -> str:
    """A text in quotes, on one line."""
    return json.dumps(value, ensure_ascii=False)


def number(value: int) -> str:
    """A number with thin spaces between groups of three digits."""
    return f"{value:,}".replace(",", "\u202f")


def _printed(value: Any) -> Any:
    return text.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
