"""What happens to every call before and after its handler, as data: a row of interceptors, the outermost first.

An interceptor wraps the handler of a method, once, when the server is put together; one that has nothing to do with a
method gives its handler back as it is, and costs nothing then.
"""

from collections.abc import Sequence
from typing import Protocol

from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.rpc.handler_types import StreamHandler, UnaryHandler


class Interceptor(Protocol):
    """One concern of all calls. If it raises a `Failure`, the caller sees that; other exceptions are masked."""

    def unary(self, method: MethodDescriptor, handle: UnaryHandler) -> UnaryHandler:
        """The handler of a method with one request and one answer, wrapped."""
        ...

    def stream(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        """The handler of any other method, wrapped."""
        ...


def wrap_unary(interceptors: Sequence[Interceptor], method: MethodDescriptor, handle: UnaryHandler) -> UnaryHandler:
    """A handler within all interceptors."""
    for interceptor in reversed(interceptors):
        handle = interceptor.unary(method, handle)
    return handle


def wrap_stream(interceptors: Sequence[Interceptor], method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
    """A handler within all interceptors."""
    for interceptor in reversed(interceptors):
        handle = interceptor.stream(method, handle)
    return handle
