"""Checks requests against the contract's rules, with an operator's limits."""

from google.protobuf.message import Message

from lockstitch.v1 import session_service_pb2
from lockstitch_server.config import Limits
from lockstitch_server.validation.compile import compile_rules
from lockstitch_server.validation.contract import CONTRACT
from lockstitch_server.validation.violation import Violation


class Validator:
    """The contract's rules, compiled for an operator's limits.

    Example: `Validator(Limits()).explain(GetSessionRequest())` is a violation of `session_id`.
    """

    def __init__(self, limits: Limits) -> None:
        self._checks = compile_rules(CONTRACT, session_service_pb2.DESCRIPTOR.pool, limits)

    def explain(self, message: Message) -> Violation | None:
        """The first rule that the message breaks; None where it keeps all."""
        try:
            self._checks[message.DESCRIPTOR.full_name](message)
        except Violation as violation:
            return violation.with_traceback(None)  # which would keep the message until the next garbage collection
        return None

    def check(self, message: Message) -> None:
        """Fails with INVALID_FIELD, NOT_JSON or DELTA_MISMATCH, naming the field, the value and the limit."""
        violation = self.explain(message)
        if violation is not None:
            raise violation.failure()
