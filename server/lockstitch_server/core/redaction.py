"""Secrets kept out of what people read."""

import re


def redact(text: str) -> str:
    """A store's URL without its passwords. Takes too much rather than too little from one that is malformed."""
    text = re.sub(r"(password=)[^&\s]*", r"\1***", text, flags=re.IGNORECASE)
    return re.sub(r"(^[^:/]*:|//[^:/]*:)(?!//).*@", r"\1***@", text, flags=re.DOTALL)
