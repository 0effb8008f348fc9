"""Search terms: what checkpoints are searched by, as numbers for an index.

A term stands for one fact about a checkpoint of a tenant ("node A ran", "metadata k is 1"). Terms are 64-bit hashes:
two facts of one tenant collide once in about 10^19 pairs.
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from lockstitch.v1.checkpoint_pb2 import Checkpoint, NodeKind
from lockstitch_server.core.format.rows import CheckpointRow
from lockstitch_server.core.ids import default_checkpoint_id, digest, framed

Fact = tuple[str, str, str]

STEPS = "steps"
STEPS_AT_ONCE = 64
"""This number of steps has one term, since an index stores a frequent term in less space."""

MAX_DEPTH = 100
"""JSON values that are nested deeper are compared as text."""

LONGEST_REMEMBERED = 512
"""Characters, or bytes, of a fact whose term is remembered."""
LONGEST_HEADER = 1024
"""Bytes of a header whose terms are remembered."""


def ran(node: NodeKind) -> Fact:
    """The fact that a node ran."""
    return ("ran", *_node(node))


def skipped(node: NodeKind) -> Fact:
    """The fact that a node was skipped."""
    return ("skipped", *_node(node))


def metadata(name: str, text: str) -> Fact:
    """The fact that a metadata entry has this value, however its JSON is written."""
    return ("metadata", name, canonical_json(text))


def custom_id_steps(namespace: str, step: int) -> Fact:
    """The fact that a checkpoint with a custom id has this step, or one close to it."""
    return (STEPS, namespace, str(step // STEPS_AT_ONCE))


def term(scope: bytes, fact: Fact) -> int:
    """The term of a fact within a tenant (scope: its name) or a session (scope: its key), a signed 64-bit number."""
    is_short = len(fact[1]) + len(fact[2]) <= LONGEST_REMEMBERED
    return _remembered_term(scope, fact) if is_short else _term(scope, fact)


def _term(scope: bytes, fact: Fact) -> int:
    return int.from_bytes(digest(scope, b"\0", framed(*fact))[:8], "big", signed=True)


def terms(tenant: str, key: bytes, checkpoint: Checkpoint, checkpoint_id: str) -> tuple[int, ...]:
    """All terms of a checkpoint. Steps are searched within a session only."""
    found = _header_terms(tenant, checkpoint)
    if not checkpoint.checkpoint_id or checkpoint_id == default_checkpoint_id(checkpoint.step):
        return found
    return with_step(found, key, checkpoint.namespace, checkpoint.step)


def header_terms(tenant: str, checkpoint: Checkpoint) -> tuple[int, ...]:
    """The terms of a checkpoint's header, which most saves of a session share.

    checkpoint: the header. Clears the fields that differ in every save and have no terms.
    """
    checkpoint.ClearField("created_at")
    checkpoint.ClearField("versions_seen")
    header = checkpoint.SerializeToString(deterministic=True)
    return _remembered_header(tenant, header) if len(header) <= LONGEST_HEADER else _header_terms(tenant, checkpoint)


def _header_terms(tenant: str, checkpoint: Checkpoint) -> tuple[int, ...]:
    scope = tenant.encode()
    found = {_node_term(scope, ran, node.SerializeToString()) for node in checkpoint.ran_nodes}
    if checkpoint.skipped_nodes:
        found.update(_node_term(scope, skipped, node.SerializeToString()) for node in checkpoint.skipped_nodes)
    if checkpoint.metadata:
        found.update(_metadata_term(scope, name, text) for name, text in checkpoint.metadata.items())
    return tuple(sorted(found))


def with_step(found: tuple[int, ...], key: bytes, namespace: str, step: int) -> tuple[int, ...]:
    """These terms, and that of the step of a checkpoint with a custom id."""
    return tuple(sorted({*found, term(key, custom_id_steps(namespace, step))}))


def _node_term(scope: bytes, fact: Callable[[NodeKind], Fact], node: bytes) -> int:
    is_short = len(node) <= LONGEST_REMEMBERED
    return _remembered_node(scope, fact, node) if is_short else _term(scope, fact(NodeKind.FromString(node)))


def _metadata_term(scope: bytes, name: str, text: str) -> int:
    is_short = len(name) + len(text) <= LONGEST_REMEMBERED
    return _remembered_metadata(scope, name, text) if is_short else _term(scope, metadata(name, text))


# Facts and headers recur. Only short ones are remembered, so the caches take at most 12 MB.


@lru_cache(maxsize=2048)
def _remembered_header(tenant: str, header: bytes) -> tuple[int, ...]:
    return _header_terms(tenant, Checkpoint.FromString(header))


@lru_cache(maxsize=4096)
def _remembered_term(scope: bytes, fact: Fact) -> int:
    return _term(scope, fact)


@lru_cache(maxsize=4096)
def _remembered_node(scope: bytes, fact: Callable[[NodeKind], Fact], node: bytes) -> int:
    return _term(scope, fact(NodeKind.FromString(node)))


@lru_cache(maxsize=4096)
def _remembered_metadata(scope: bytes, name: str, text: str) -> int:
    return _term(scope, metadata(name, text))


def stored_terms(tenant: str, row: CheckpointRow) -> tuple[int, ...]:
    """The terms that a stored checkpoint is found by. Fails with DATA_LOSS."""
    checkpoint = Checkpoint.FromString(row.decoded().header)
    checkpoint.namespace, checkpoint.checkpoint_id, checkpoint.step = row.namespace, row.checkpoint_id, row.step
    return terms(tenant, row.key, checkpoint, row.checkpoint_id)


def canonical_json(text: str) -> str:
    """One text for all ways to write the same JSON value: keys sorted, no white space, numbers by value.

    A value that is nested deeper than MAX_DEPTH, or has an exponent of 19 digits, equals only itself as it is written.
    """
    try:
        value = _canonical(json.loads(text, parse_int=Decimal, parse_float=Decimal), MAX_DEPTH)
    except (RecursionError, InvalidOperation):
        return text
    return json.dumps(value, ensure_ascii=True)


def _canonical(value: Any, depth: int) -> Any:
    if not depth:
        raise RecursionError
    if isinstance(value, Decimal):
        return {"": _number(value)}
    if isinstance(value, Mapping):
        return [[name, _canonical(value[name], depth - 1)] for name in sorted(value)]
    if isinstance(value, list):
        return {"[]": [_canonical(item, depth - 1) for item in value]}
    return value


def _number(value: Decimal) -> str:
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    stripped = text.rstrip("0")
    if not stripped or not isinstance(exponent, int):
        return "0"
    return f"{'-' if sign else ''}{stripped}e{exponent + len(text) - len(stripped)}"


def _node(node: NodeKind) -> tuple[str, str]:
    if node.WhichOneof("kind") == "custom":
        return ("custom", node.custom)
    return ("endpoint", str(node.endpoint))
