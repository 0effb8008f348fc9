"""A caller that is known: a name, tenants and rights."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

TENANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
"""What a tenant may be called: metadata of a call, which names one, is ASCII."""
TENANT_RULE = "1 to 128 letters, digits and . _ : / @ -, a letter or digit first"
MAX_NAME = 255


class Right(StrEnum):
    """What a caller may do. None includes another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


ALL_RIGHTS = frozenset(Right)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    name: for logs; 1 to 255 characters that can be printed.
    tenants: whose sessions it may reach. Calls of a principal with several of them have to name one.
    """

    name: str
    tenants: tuple[str, ...]
    rights: frozenset[Right]


def make_principal(name: str, tenants: Iterable[str], rights: Iterable[str]) -> Principal:
    """Raises ValueError for what is no such name, tenant or right."""
    if not (0 < len(name) <= MAX_NAME and name.isprintable()):
        raise ValueError(f"a principal's name is 1 to {MAX_NAME} characters that can be printed")
    return Principal(name, _tenants(tenants), frozenset(map(_right, rights)))


def _tenants(names: Iterable[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(names))
    for name in found:
        if not TENANT_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be a tenant: {TENANT_RULE}")
    return found


def _right(name: str) -> Right:
    if name not in ALL_RIGHTS:
        raise ValueError(f"{name!r} is no right: they are {', '.join(Right)}")
    return Right(name)
