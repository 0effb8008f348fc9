"""Secrets kept out of what people read."""

import re
from urllib.parse import unquote

SECRETS = frozenset({"password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"})
"""Parameters of a URL that nobody may read."""


def redact(text: str) -> str:
    """A store's URL without its passwords. Takes too much rather than too little from one that is malformed."""
    text = re.sub(r"(?<![\w%])([\w%]+)=[^&\s]*", _without_secret, text)
    return re.sub(r"(^[^:/]*:|//[^:/]*:)(?!//).*@", r"\1***@", text, flags=re.DOTALL)


def _without_secret(parameter: "re.Match[str]") -> str:
    return f"{parameter[1]}=***" if unquote(parameter[1]).lower() in SECRETS else parameter[0]
