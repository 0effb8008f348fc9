"""A gRPC server between a client and a real server, which loses the answers to the saves of one session."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc

from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveStreamRequest, SaveStreamResponse

MOST_CALLS = 16
PATIENCE = 60.0
REFUSAL_SECONDS = 2.0
"""How long a call waits for a refusal beside it. Some clients send the next save of a session after the one before."""


class LosingForwarder:
    """Forwards calls. Saves of one session are stored, and their calls end without an answer. Errors are passed on."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.target = ""
        self._session_id = ""
        self._channel = channel
        self._refusals = 0
        self._changed = threading.Condition()

    def lose(self, session_id: str, refusals: int = 0) -> None:
        """Lose the answers to the saves of a session from now on. "": lose none.

        refusals: how many refused saves each lost answer waits for.
        """
        with self._changed:
            self._session_id, self._refusals = session_id, refusals

    def unary(self, path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Forward a call with one answer."""
        is_lost = path.endswith("/Save") and self._loses(SaveRequest.FromString(request))
        call: Any = self._channel.unary_unary(path)
        try:
            answer: bytes = call(request, timeout=PATIENCE)
        except grpc.RpcError as error:
            self._refused(1)
            self._fail(context, error)
        if is_lost:
            with self._changed:
                self._changed.wait_for(self._has_refused, REFUSAL_SECONDS)
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
        return answer

    def stream(
        self, path: str, requests: Iterator[SaveStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[SaveStreamResponse]:
        """Forward a SaveStream call."""
        lost: set[int] = set()
        forward: Any = self._channel.stream_stream(
            path, SaveStreamRequest.SerializeToString, SaveStreamResponse.FromString
        )
        call = forward(self._noted(requests, lost))
        context.add_callback(call.cancel)
        end: threading.Timer | None = None
        try:
            for response in call:
                kept = _without(response, lost)
                if kept is not None:
                    yield kept
                    self._refused(sum(part.HasField("error") for part in (kept, *kept.batch)))
                if kept != response and end is None:
                    end = threading.Timer(REFUSAL_SECONDS, call.cancel)
                    end.start()
                if end is not None and self._has_refused():
                    call.cancel()
        except grpc.RpcError as error:
            self._fail(context, error)
        finally:
            if end is not None:
                end.cancel()

    def _loses(self, save: SaveRequest) -> bool:
        return bool(self._session_id) and save.checkpoint.session_id == self._session_id

    def _noted(self, requests: Iterator[SaveStreamRequest], lost: set[int]) -> Iterator[SaveStreamRequest]:
        """The requests. Adds the numbers of those whose answers get lost."""
        for request in requests:
            lost.update(each.request_id for each in (request, *request.batch) if self._loses(each.save))
            yield request

    def _has_refused(self) -> bool:
        return self._refusals <= 0

    def _refused(self, count: int) -> None:
        with self._changed:
            self._refusals -= count
            self._changed.notify_all()

    def _fail(self, context: grpc.ServicerContext, error: Any) -> NoReturn:
        """End a call with the error of the real server, or with UNAVAILABLE if this one has cancelled it."""
        if error.code() is grpc.StatusCode.CANCELLED:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
        context.set_trailing_metadata(error.trailing_metadata())
        context.abort(error.code(), error.details())
        raise AssertionError("abort raises")


def _without(response: SaveStreamResponse, lost: set[int]) -> SaveStreamResponse | None:
    """A response without those that get lost; None if none is left. Errors stay."""
    if not response.batch:
        return response if response.HasField("error") or response.request_id not in lost else None
    parts = [kept for part in response.batch if (kept := _without(part, lost)) is not None]
    return SaveStreamResponse(batch=parts, takes_batches=response.takes_batches) if parts else None


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, forwarder: LosingForwarder) -> None:
        self._forwarder = forwarder

    def service(self, handler_call_details: Any) -> Any:
        path: str = handler_call_details.method
        if path.endswith("/SaveStream"):
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self._forwarder.stream(path, requests, context),
                SaveStreamRequest.FromString,
                SaveStreamResponse.SerializeToString,
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._forwarder.unary(path, request, context)
        )


@contextmanager
def losing_server(target: str) -> Iterator[LosingForwarder]:
    """Forwards to `target`."""
    options: Sequence[tuple[str, int]] = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(target, options) as channel, ThreadPoolExecutor(MOST_CALLS) as threads:
        forwarder = LosingForwarder(channel)
        server = grpc.server(threads, handlers=[_Handler(forwarder)], options=options)
        forwarder.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield forwarder
        finally:
            server.stop(None).wait()
