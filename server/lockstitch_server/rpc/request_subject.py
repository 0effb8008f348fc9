"""What a request is about, for the logs and spans of calls that are noted at all."""

from typing import Any, NamedTuple

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from lockstitch_server.core.errors import Failure
from lockstitch_server.rpc.call_context import CallContext
from lockstitch_server.rpc.named_sessions import subject_projection


class RequestSubject(NamedTuple):
    """What a request is about; empty where it does not say."""

    session_id: str = ""
    namespace: str = ""
    step: int | None = None
    is_delta: bool | None = None


NO_SUBJECT = RequestSubject()


def request_of(method: MethodDescriptor, data: bytes, context: CallContext) -> Message | None:
    """The request of a call as its handler has parsed it; else at least what names its subject.

    None where it cannot be decoded, and where it is not known who calls: nothing is parsed for strangers.
    """
    if context.request is None and context.is_identified:
        try:
            context.request = subject_projection(method).read(data)
        except Failure:
            return None
    return context.request


def subject_of(request: Any) -> RequestSubject:
    """What a request, or its projection, is about. None: nothing is known of it."""
    if request is None:
        return NO_SUBJECT
    fields = request.DESCRIPTOR.fields_by_name
    if "checkpoint" in fields:
        checkpoint = request.checkpoint
        return RequestSubject(checkpoint.session_id, checkpoint.namespace, checkpoint.step, request.HasField("delta"))
    session_id = request.session_id if "session_id" in fields else ""
    return RequestSubject(session_id, request.namespace if session_id and "namespace" in fields else "")
