"""Connect, gRPC-Web and JSON over POST, byte by byte, on a real server."""

import base64
import gzip
import json
import socket
import struct
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from lockstitch.v1 import checkpoint_service_pb2 as pb
from tests.http.requests import (
    CHECKPOINTS,
    SESSIONS,
    ask,
    envelope,
    envelopes,
    from_base64,
    post,
    web_trailers,
)
from tests.support.server import LockstitchServer

BIG = 2**63 - 1
"""More than a number of JavaScript can hold."""
SAVE = f"{CHECKPOINTS}Save"
LOAD = f"{CHECKPOINTS}LoadLatest"
BASIC = {"content-type": "application/json", "content-length": "2"}
WALK = f"{CHECKPOINTS}WalkAncestors"
LIST = f"{CHECKPOINTS}ListSessions"
SAVE_STREAM = f"{CHECKPOINTS}SaveStream"


def checkpoint(session: str, step: int = 1) -> pb.SaveRequest:
    request = pb.SaveRequest()
    request.checkpoint.session_id = session
    request.checkpoint.step = step
    request.checkpoint.checkpoint_id = str(step)
    request.checkpoint.parent_id = str(step - 1) if step > 1 else ""
    request.checkpoint.header.data = bytes(range(256))
    return request


def save(server: LockstitchServer, session: str, step: int = 1) -> pb.SaveResponse:
    answer = post(server.target, SAVE, checkpoint(session, step).SerializeToString(), "application/proto")
    assert answer.status == 200, answer.body
    return pb.SaveResponse.FromString(answer.body)


class TestUnary:
    def test_json(self, server: LockstitchServer) -> None:
        sent = {"checkpoint": {"sessionId": "json", "step": str(BIG), "header": {"data": "AAH/"}}}
        saved = post(server.target, SAVE, sent)
        assert (saved.status, saved.headers["content-type"]) == (200, "application/json")
        assert saved.json["outcome"] == "SAVE_OUTCOME_CREATED"
        loaded = post(server.target, LOAD, {"session_id": "json"}).json  # both spellings of names are taken
        assert loaded["checkpoint"]["step"] == str(BIG), "64-bit integers are texts"
        assert loaded["checkpoint"]["header"] == {"data": "AAH/"}
        assert loaded["revision"] == saved.json["revision"]

    def test_protobuf(self, server: LockstitchServer) -> None:
        revision = save(server, "proto").revision
        asked = pb.LoadLatestRequest(session_id="proto").SerializeToString()
        answer = post(server.target, LOAD, asked, "application/proto", connect_protocol_version="1")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/proto")
        loaded = pb.LoadLatestResponse.FromString(answer.body)
        assert (loaded.revision, loaded.checkpoint.header.data) == (revision, bytes(range(256)))

    @pytest.mark.parametrize("media", ["application/json; charset=utf-8", "APPLICATION/JSON"])
    def test_media_types_are_read_as_http_has_them(self, server: LockstitchServer, media: str) -> None:
        assert post(server.target, LOAD, {"sessionId": "media"}, media).status == 200

    def test_gzip(self, server: LockstitchServer) -> None:
        for body, media in (
            (checkpoint("gzip").SerializeToString(), "application/proto"),
            (json_format.MessageToJson(checkpoint("gzip", 2)).encode(), "application/json"),
        ):
            answer = post(server.target, SAVE, gzip.compress(body), media, content_encoding="gzip")
            assert answer.status == 200, answer.body

    def test_errors_are_json_with_details(self, server: LockstitchServer) -> None:
        answer = post(server.target, LOAD, pb.LoadLatestRequest().SerializeToString(), "application/proto")
        assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
        error = answer.json
        assert error["code"] == "invalid_argument"
        assert error["message"].startswith("session_id: ")
        details = {detail["type"]: base64.b64decode(detail["value"] + "==") for detail in error["details"]}
        assert ErrorInfo.FromString(details["google.rpc.ErrorInfo"]).reason == "INVALID_FIELD"
        assert BadRequest.FromString(details["google.rpc.BadRequest"]).field_violations[0].field == "session_id"
        assert error["details"][0]["debug"]["reason"] == "INVALID_FIELD"

    def test_statuses_are_those_of_connect(self, server: LockstitchServer) -> None:
        missing = post(server.target, f"{SESSIONS}GetSession", {"sessionId": "nobody"})
        assert (missing.status, missing.json["code"]) == (404, "not_found")

    def test_a_deadline_that_has_passed(self, server: LockstitchServer) -> None:
        answer = post(server.target, LOAD, {"sessionId": "late"}, connect_timeout_ms="0")
        assert (answer.status, answer.json["code"]) == (504, "deadline_exceeded")

    @pytest.mark.parametrize("value", ["-1", "1.5", "x", "12345678901"])
    def test_a_deadline_that_is_none(self, server: LockstitchServer, value: str) -> None:
        answer = post(server.target, LOAD, {"sessionId": "late"}, connect_timeout_ms=value)
        assert answer.json["message"].startswith("connect-timeout-ms: ")


class TestStreams:
    @pytest.mark.parametrize("name", ["proto", "json"])
    def test_responses_in_envelopes(self, server: LockstitchServer, name: str) -> None:
        for step in (1, 2, 3):
            save(server, f"walk-{name}", step)
        asked = pb.WalkAncestorsRequest(session_id=f"walk-{name}")
        text = name == "json"
        data = json_format.MessageToJson(asked).encode() if text else asked.SerializeToString()
        answer = post(server.target, WALK, envelope(data), f"application/connect+{name}")
        assert (answer.status, answer.headers["content-type"]) == (200, f"application/connect+{name}")
        *messages, (flags, end) = envelopes(answer.body)
        assert (flags, json.loads(end)) == (2, {})
        assert {flags for flags, _ in messages} == {0}
        if text:
            assert json.loads(messages[0][1])
        else:
            pb.WalkAncestorsResponse.FromString(messages[0][1])

    def test_packed_messages(self, server: LockstitchServer) -> None:
        save(server, "packed", 1)
        save(server, "packed", 2)
        asked = gzip.compress(pb.WalkAncestorsRequest(session_id="packed").SerializeToString())
        answer = post(
            server.target, WALK, envelope(asked, 1), "application/connect+proto", connect_content_encoding="gzip"
        )
        *messages, (_, end) = envelopes(answer.body)
        assert messages
        assert json.loads(end) == {}

    def test_errors_are_in_the_last_envelope(self, server: LockstitchServer) -> None:
        answer = post(server.target, WALK, envelope(b"{}"), "application/connect+json")
        ((flags, end),) = envelopes(answer.body)
        assert (answer.status, flags) == (200, 2)
        assert json.loads(end)["error"]["code"] == "invalid_argument"

    def test_both_ways_at_once_needs_http2(self, server: LockstitchServer) -> None:
        assert post(server.target, SAVE_STREAM, b"", "application/connect+proto").status == 505


class TestGrpcWeb:
    @pytest.mark.parametrize("subtype", ["", "+proto"])
    def test_binary(self, server: LockstitchServer, subtype: str) -> None:
        body = envelope(checkpoint(f"web{subtype}").SerializeToString())
        answer = post(server.target, SAVE, body, f"application/grpc-web{subtype}", x_grpc_web="1")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/grpc-web+proto")
        (_, message), (flags, trailers) = envelopes(answer.body)
        assert pb.SaveResponse.FromString(message).revision
        assert (flags, web_trailers(trailers)) == (0x80, {"grpc-status": "0"})

    def test_text_in_parts(self, server: LockstitchServer) -> None:
        whole = envelope(checkpoint("web-text").SerializeToString())
        body = base64.b64encode(whole[:7]) + base64.b64encode(whole[7:])
        answer = post(server.target, SAVE, body, "application/grpc-web-text")
        (_, message), (_, trailers) = envelopes(from_base64(answer.body))
        assert pb.SaveResponse.FromString(message).revision
        assert web_trailers(trailers)["grpc-status"] == "0"

    @pytest.mark.parametrize(("asked", "accepted"), [("", "-text"), ("-text", "")])
    def test_the_response_is_as_the_client_accepts_it(
        self, server: LockstitchServer, asked: str, accepted: str
    ) -> None:
        body = envelope(b"")
        answer = post(
            server.target,
            LIST,
            base64.b64encode(body) if asked else body,
            f"application/grpc-web{asked}",
            accept=f"application/grpc-web{accepted}",
        )
        assert answer.headers["content-type"] == f"application/grpc-web{accepted}+proto"
        found = from_base64(answer.body) if accepted else answer.body
        assert [flags for flags, _ in envelopes(found)] == [0, 0x80]

    @pytest.mark.parametrize("subtype", ["", "-text"])
    def test_long_responses(self, server: LockstitchServer, subtype: str) -> None:
        """They are sent in several parts."""
        request = checkpoint(f"long{subtype}")
        request.checkpoint.header.data = bytes(300_000)
        assert post(server.target, SAVE, request.SerializeToString(), "application/proto").status == 200
        body = envelope(pb.LoadLatestRequest(session_id=f"long{subtype}").SerializeToString())
        asked = base64.b64encode(body) if subtype else body
        answer = post(server.target, LOAD, asked, f"application/grpc-web{subtype}")
        (_, message), (flags, _) = envelopes(from_base64(answer.body) if subtype else answer.body)
        assert (pb.LoadLatestResponse.FromString(message).checkpoint.header.data, flags) == (bytes(300_000), 0x80)

    def test_streams(self, server: LockstitchServer) -> None:
        for step in (1, 2):
            save(server, "web-walk", step)
        body = envelope(pb.WalkAncestorsRequest(session_id="web-walk").SerializeToString())
        *messages, (flags, _) = envelopes(post(server.target, WALK, body, "application/grpc-web").body)
        assert messages
        assert flags == 0x80

    @pytest.mark.parametrize("body", [b"AAAA AAAA", b"AAA", b"AAAA=AAA", b"\xff\xff\xff\xff"])
    def test_text_that_is_no_base64(self, server: LockstitchServer, body: bytes) -> None:
        assert grpc_status(post(server.target, SAVE, body, "application/grpc-web-text")) == "3"

    def test_errors_without_a_message_are_in_the_headers(self, server: LockstitchServer) -> None:
        answer = post(server.target, LOAD, envelope(b""), "application/grpc-web")
        assert answer.headers["grpc-status"] == "3"
        details = answer.headers["grpc-status-details-bin"]
        status = Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4)))
        assert status.message == answer.headers["grpc-message"]

    def test_messages_are_percent_encoded(self, server: LockstitchServer) -> None:
        answer = post(server.target, LOAD, envelope(b'{"\xc3\xbc%": 1}'), "application/grpc-web+json")
        assert "%C3%BC%25" in answer.headers["grpc-message"]


class TestOneRequest:
    """gRPC has the code UNIMPLEMENTED for a call with another number of requests than its method has."""

    @pytest.mark.parametrize("media", ["application/grpc-web", "application/grpc-web-text"])
    def test_several_messages(self, server: LockstitchServer, media: str) -> None:
        """None of them is carried out."""
        name = f"several-{len(media)}"
        body = envelope(checkpoint(name, 1).SerializeToString()) + envelope(checkpoint(name, 2).SerializeToString())
        answer = post(server.target, SAVE, base64.b64encode(body) if media.endswith("text") else body, media)
        assert (answer.headers["grpc-status"], "there are several" in answer.headers["grpc-message"]) == ("12", True)
        assert post(server.target, LOAD, {"sessionId": name}).json == {}

    @pytest.mark.parametrize("number", [0, 2])
    async def test_native_grpc(self, server: LockstitchServer, number: int) -> None:
        async with grpc.aio.insecure_channel(server.target) as channel:
            save: Any = channel.stream_unary(SAVE)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await save(iter([checkpoint("counted").SerializeToString()] * number), timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert post(server.target, LOAD, {"sessionId": "counted"}).json == {}

    def test_trailers_of_a_request_are_no_message(self, server: LockstitchServer) -> None:
        body = envelope(checkpoint("trailed").SerializeToString()) + envelope(b"a: b\r\n", 0x80)
        assert grpc_status(post(server.target, SAVE, body, "application/grpc-web")) == "0"


class TestWhatIsNoCall:
    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
    def test_other_methods(self, server: LockstitchServer, method: str) -> None:
        answer = ask(server.target, method, LOAD)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")

    @pytest.mark.parametrize(
        "media",
        [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/json; charset=latin1",
        ],
    )
    def test_other_media_types(self, server: LockstitchServer, media: str) -> None:
        """A form of a page anywhere must not be taken for a call: browsers send these types without a question."""
        answer = post(server.target, LOAD, b"{}", media)
        assert answer.status == 415
        assert "application/json" in answer.headers["accept-post"]

    def test_a_stream_is_no_plain_call_nor_the_reverse(self, server: LockstitchServer) -> None:
        assert post(server.target, WALK, {"sessionId": "s"}).status == 415
        assert post(server.target, LOAD, envelope(b"{}"), "application/connect+json").status == 415

    def test_methods_that_there_are_not(self, server: LockstitchServer) -> None:
        json_error = post(server.target, f"{CHECKPOINTS}Nothing", {})
        assert (json_error.status, json_error.json["code"]) == (501, "unimplemented")
        web = post(server.target, "/nothing.Service/Nothing", b"", "application/grpc-web")
        assert (web.status, web.headers["grpc-status"]) == (200, "12")
        assert post(server.target, LOAD.replace("Load", "%4coad"), {}).status == 501, "proxies take it for another path"
        assert ask(server.target, "GET", "/nothing").status == 404
        assert ask(server.target, "POST", "/nothing", b"x").status == 404

    def test_encodings_that_are_not_taken(self, server: LockstitchServer) -> None:
        answer = post(server.target, LOAD, b"{}", content_encoding="br")
        assert (answer.status, answer.json["code"]) == (501, "unimplemented")
        assert answer.headers["accept-encoding"] == "identity,gzip"
        broken = post(server.target, LOAD, b"{}", content_encoding="gzip")
        assert "not as gzip has it" in broken.json["message"]
        web = post(server.target, LOAD, envelope(b"", 1), "application/grpc-web", grpc_encoding="snappy")
        assert web.headers["grpc-status"] == "12"

    def test_encodings_that_are_unknown_are_refused_whatever_is_packed(self, server: LockstitchServer) -> None:
        web = post(server.target, LOAD, envelope(b""), "application/grpc-web", grpc_encoding="snappy")
        assert (web.headers["grpc-status"], web.headers["grpc-accept-encoding"]) == ("12", "identity,gzip")
        media = "application/connect+proto"
        stream = post(server.target, WALK, envelope(b""), media, connect_content_encoding="br")
        assert stream_error(stream)["code"] == "unimplemented"
        assert stream.headers["connect-accept-encoding"] == "identity,gzip"

    def test_messages_that_are_packed_and_name_no_encoding(self, server: LockstitchServer) -> None:
        packed = envelope(gzip.compress(b"{}"), 1)
        assert grpc_status(post(server.target, LOAD, packed, "application/grpc-web")) == "13"
        assert stream_error(post(server.target, WALK, packed, "application/connect+json"))["code"] == "internal"

    def test_nothing_that_is_packed(self, server: LockstitchServer) -> None:
        """Nothing may be said to be packed, and is not unpacked."""
        plain = post(server.target, LIST, b"", "application/proto", content_encoding="gzip")
        assert plain.status == 200
        web = post(server.target, LIST, envelope(b"", 1), "application/grpc-web", grpc_encoding="gzip")
        assert grpc_status(web) == "0"

    @pytest.mark.parametrize("version", ["0", "2", "x"])
    def test_other_versions_of_connect(self, server: LockstitchServer, version: str) -> None:
        answer = post(server.target, LIST, {}, connect_protocol_version=version)
        assert (answer.status, answer.json["code"]) == (400, "invalid_argument")
        assert answer.json["message"].startswith("connect-protocol-version: ")

    @pytest.mark.parametrize("body", [b"\0\0", b"\0\0\0\0\x09{}", b"\x07\0\0\0\0", b"\0\xff\xff\xff\xff"])
    def test_envelopes_that_are_none(self, server: LockstitchServer, body: bytes) -> None:
        web = post(server.target, LOAD, body, "application/grpc-web")
        assert web.headers["grpc-status"] in ("3", "8", "13")
        ((_, end),) = envelopes(post(server.target, WALK, body, "application/connect+proto").body)
        assert json.loads(end)["error"]["code"] in ("invalid_argument", "resource_exhausted", "internal")

    @pytest.mark.parametrize("size", [2 * 1024 * 1024, 2**31])
    def test_messages_that_are_too_large_are_told_the_setting(self, server: LockstitchServer, size: int) -> None:
        """Also those that are refused by their prefix."""
        body = envelope(bytes(size)) if size < 2**22 else struct.pack(">BI", 0, size)
        answer = post(server.target, SAVE, body, "application/grpc-web")
        assert answer.headers["grpc-status"] == "8"
        assert "the limit is 1048576 bytes (max_message_bytes)" in answer.headers["grpc-message"]


class TestNativeGrpc:
    async def test_metadata_of_bytes_that_are_no_base64(self, server: LockstitchServer) -> None:
        answer = post(server.target, LOAD, envelope(b""), "application/grpc-web", x_bytes_bin="%%%")
        assert answer.headers["grpc-message"].startswith("x-bytes-bin: ")

    async def test_binary_metadata(self, server: LockstitchServer) -> None:
        async with grpc.aio.insecure_channel(server.target) as channel:
            load: Any = channel.unary_unary(LOAD)
            asked = pb.LoadLatestRequest(session_id="bin").SerializeToString()
            assert await load(asked, metadata=(("x-bin", b"\0\xff"), ("x-bin", b"")), timeout=30) is not None

    async def test_what_is_said_of_deadlines(self, server: LockstitchServer) -> None:
        async with grpc.aio.insecure_channel(server.target) as channel:
            watch: Any = channel.unary_stream(f"{SESSIONS}WatchSession")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in watch(b"\x0a\x04late", timeout=0.3):
                    pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    def test_http1_has_no_trailers_unless_asked_for(self, server: LockstitchServer) -> None:
        answer = post(server.target, LOAD, envelope(b""), "application/grpc")
        assert (answer.headers["grpc-status"], "te: trailers" in answer.headers["grpc-message"]) == ("13", True)


def stream_error(answer: Any) -> Any:
    """Of a stream of Connect."""
    *_, (_, end) = envelopes(answer.body)
    return json.loads(end)["error"]


def grpc_status(answer: Any) -> str:
    """Of gRPC-Web, wherever it is."""
    if "grpc-status" in answer.headers:
        return str(answer.headers["grpc-status"])
    is_text = "-text" in answer.headers["content-type"]
    *_, (_, trailers) = envelopes(from_base64(answer.body) if is_text else answer.body)
    return web_trailers(trailers)["grpc-status"]


@pytest.mark.parametrize(
    "header",
    [
        "content-type: application/json",
        "content-length: 2",
        "content-encoding: identity",
        "grpc-timeout: 1S",
        "connect-timeout-ms: 1000",
        "grpc-encoding: gzip",
    ],
)
def test_headers_that_are_there_twice(server: LockstitchServer, header: str) -> None:
    """A proxy in front may go by the other one."""
    name = header.partition(":")[0]
    head = [f"POST {LOAD} HTTP/1.1", "host: x", header, header, "connection: close"]
    head += [f"{key}: {value}" for key, value in BASIC.items() if key != name]
    host, _, port = server.target.rpartition(":")
    with socket.create_connection((host, int(port)), 60) as opened:
        opened.sendall("\r\n".join([*head, "", "{}"]).encode())
        answer = b"".join(iter(lambda: opened.recv(65536), b""))
    assert answer[9:12] == b"400"
