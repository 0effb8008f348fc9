"""Reads most saves in one go: checked and taken apart, without looking at anything twice.

What is not surely good and usual is left to `checker` and `intake`.
"""

from lockstitch.v1 import checkpoint_pb2
from lockstitch.v1 import checkpoint_service_pb2 as pb
from lockstitch_server.config import Limits
from lockstitch_server.core.checkpoint import DraftState, split_header, split_state
from lockstitch_server.core.errors import Failure
from lockstitch_server.core.ids import default_checkpoint_id, session_key
from lockstitch_server.core.intake import draft_delta, expected_latest
from lockstitch_server.core.operations import DraftDelta, Save
from lockstitch_server.core.terms import header_terms, with_step
from lockstitch_server.rpc.checker import DESCRIPTORS
from lockstitch_server.rpc.rules import RULES
from lockstitch_server.rpc.swift import Predicate, compile_rules

CHECKPOINT, REQUEST = "lockstitch.v1.Checkpoint", "lockstitch.v1.SaveRequest"
NAMES = ("session_id", "namespace", "checkpoint_id", "parent_id", "step")
HEADER = ("frontier", "ran_nodes", "skipped_nodes", "metadata", "header", "depends_on")
"""What of a checkpoint is looked at with its header, which is the same in many."""
MOST_HEADERS, LONGEST_HEADER = 2048, 1024


class UsualSaves:
    """Reads requests, with an operator's limits."""

    def __init__(self, limits: Limits) -> None:
        keeps = compile_rules(RULES, DESCRIPTORS, limits)
        self._keeps_state = keeps["lockstitch.v1.VersionedState"]
        self._keeps_delta = keeps["lockstitch.v1.StateDelta"]
        self._keeps_time = keeps["google.protobuf.Timestamp"]
        self._keeps_expected = keeps["lockstitch.v1.ExpectedLatest"]
        self._keeps_names = _keeps_some(CHECKPOINT, NAMES, limits)
        self._keeps_base = _keeps_some(REQUEST, ("", "base_checkpoint_id"), limits)
        self._keeps_header = _keeps_some(CHECKPOINT, HEADER, limits)
        self._headers: dict[tuple[str, bytes], tuple[int, ...]] = {}
        """Headers that keep to the rules, but for what changes, and the terms they are found by."""

    def read(self, request: pb.SaveRequest, tenant: str, trace_id: bytes) -> Save | None:
        """What a request asks for. None: it takes a closer look. Either way the request is good for nothing more."""
        checkpoint = request.checkpoint
        if not (self._is_usual(request) and self._keeps_names(checkpoint)):
            return None
        session_id, namespace, given_id = checkpoint.session_id, checkpoint.namespace, checkpoint.checkpoint_id
        parent_id, step = checkpoint.parent_id, checkpoint.step
        default_id = default_checkpoint_id(step)
        checkpoint_id = given_id or default_id
        key = session_key(tenant, session_id)
        server_time = not checkpoint.HasField("created_at")
        if not (server_time or self._keeps_time(checkpoint.created_at)):
            return None
        state: DraftState | DraftDelta | None = None
        if checkpoint.HasField("state"):
            if not self._keeps_state(checkpoint.state):
                return None
            state = split_state(checkpoint.state)
        header = split_header(checkpoint)
        terms = self._terms(tenant, checkpoint)
        if terms is None:
            return None
        if request.HasField("delta"):
            try:
                state = draft_delta(request, header, session_id, namespace, checkpoint_id, parent_id, str(step))
            except Failure:
                return None
        return Save(
            key,
            tenant,
            session_id,
            namespace,
            checkpoint_id,
            parent_id,
            step,
            header,
            server_time,
            state,
            terms if checkpoint_id == default_id else with_step(terms, key, namespace, step),
            expected_latest(request),
            request.lease_token,
            trace_id=trace_id,
        )

    def _is_usual(self, request: pb.SaveRequest) -> bool:
        if request.writes or request.HasField("ttl"):
            return False
        if request.HasField("delta"):
            if not (self._keeps_base(request) and self._keeps_delta(request.delta)):
                return False
        elif request.base_checkpoint_id or request.base_revision:
            return False
        return not request.HasField("expected_latest") or self._keeps_expected(request.expected_latest)

    def _terms(self, tenant: str, checkpoint: checkpoint_pb2.Checkpoint) -> tuple[int, ...] | None:
        """What a header is found by; None where it breaks a rule. Empties it."""
        # The first is looked at by itself, the second may be anything; both are others in every save.
        checkpoint.ClearField("created_at")
        checkpoint.ClearField("versions_seen")
        header = checkpoint.SerializeToString(deterministic=True)
        found = self._headers.get((tenant, header))
        if found is None and self._keeps_header(checkpoint):
            found = header_terms(tenant, checkpoint)
            if len(header) <= LONGEST_HEADER:
                if len(self._headers) >= MOST_HEADERS:
                    self._headers.clear()
                self._headers[tenant, header] = found
        return found


def _keeps_some(message: str, fields: tuple[str, ...], limits: Limits) -> Predicate:
    """Whether some fields of a message surely keep to its rules."""
    rules = {**RULES, message: {field: RULES[message][field] for field in fields}}
    return compile_rules(rules, DESCRIPTORS, limits)[message]
