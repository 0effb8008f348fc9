"""Lists read page by page: what all lists have in common."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest

from lockstitch.v1.checkpoint_service_pb2 import (
    CHECKPOINT_VIEW_HEADER,
    SESSION_ORDER_SESSION_ID,
    ListCheckpointsRequest,
    ListSessionsRequest,
)
from lockstitch_server.records.v1.record_pb2 import PageToken
from lockstitch_server.rpc.call_context import DEFAULT_TENANT
from lockstitch_server.rpc.paging import fingerprint, write_token
from tests.conformance.builders import checkpoint, list_request, refused, save, sessions_request
from tests.support.api import Api

TOTAL = 7


async def session_pages(api: Api, request: ListSessionsRequest) -> list[list[str]]:
    """The session ids of each page."""
    return await _pages(api.list_sessions, request, lambda page: [found.session_id for found in page.sessions])


async def checkpoint_pages(api: Api, request: ListCheckpointsRequest) -> list[list[str]]:
    """The checkpoint ids of each page."""
    return await _pages(api.list_checkpoints, request, lambda page: [found.checkpoint_id for found in page.checkpoints])


async def _pages(
    call: Callable[[Any], Awaitable[Any]], request: Any, names: Callable[[Any], list[str]]
) -> list[list[str]]:
    pages = []
    request = type(request).FromString(request.SerializeToString())
    while True:
        page = await call(request)
        pages.append(names(page))
        if not page.next_page_token:
            return pages
        assert page.next_page_token != request.page_token
        request.page_token = page.next_page_token


def flat(pages: Iterable[Sequence[str]]) -> list[str]:
    return [name for page in pages for name in page]


def other(session: str) -> str:
    """A session whose id does not begin with that of another."""
    return f"+{session}"


LISTS: dict[str, Callable[[str], tuple[str, Any]]] = {
    "sessions by update": lambda session: ("ListSessions", sessions_request(session_id_prefix=session)),
    "sessions by id": lambda session: (
        "ListSessions",
        sessions_request(session_id_prefix=session, order_by=SESSION_ORDER_SESSION_ID),
    ),
    "checkpoints of a tenant": lambda session: (
        "ListCheckpoints",
        list_request(metadata={"of": f'"{session}"'}, view=CHECKPOINT_VIEW_HEADER),
    ),
    "checkpoints of a session": lambda session: ("ListCheckpoints", list_request(session_id=other(session))),
}


@pytest.mark.parametrize("kind", LISTS)
class TestPaging:
    async def test_every_page_size(self, api: Api, session: str, kind: str) -> None:
        await prepare(api, session)
        name, request = LISTS[kind](session)
        read = session_pages if name == "ListSessions" else checkpoint_pages
        (whole,) = await read(api, request)
        assert len(whole) == TOTAL
        for size in range(1, TOTAL + 2):
            request.page_size = size
            pages = await read(api, request)
            assert flat(pages) == whole
            assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
            assert len(pages) == -(-TOTAL // size), "no empty page where the total is known to have been reached"

    async def test_the_page_size_may_change(self, api: Api, session: str, kind: str) -> None:
        await prepare(api, session)
        name, request = LISTS[kind](session)
        request.page_size = 2
        first = await api.unary(name, request)
        request.page_token, request.page_size = first.next_page_token, 1000
        second = await api.unary(name, request)
        assert second.next_page_token == ""
        assert len(second.sessions if name == "ListSessions" else second.checkpoints) == TOTAL - 2

    async def test_a_page_is_the_same_when_asked_for_again(self, api: Api, session: str, kind: str) -> None:
        await prepare(api, session)
        name, request = LISTS[kind](session)
        request.page_size = 3
        request.page_token = (await api.unary(name, request)).next_page_token
        assert await api.unary(name, request) == await api.unary(name, request)

    async def test_tokens_are_bound_to_their_filters(self, api: Api, session: str, kind: str) -> None:
        await prepare(api, session)
        name, request = LISTS[kind](session)
        request.page_size = 2
        token = (await api.unary(name, request)).next_page_token
        for change in OTHER_FILTERS[name]:
            changed = type(request)(page_token=token)
            changed.MergeFrom(request)
            changed.MergeFrom(change)
            await assert_token_refused(api, name, changed)

    async def test_tokens_of_another_list_are_refused(self, api: Api, session: str, kind: str) -> None:
        await prepare(api, session)
        name, request = LISTS[kind](session)
        for other_kind in LISTS.keys() - {kind}:
            other_name, other_request = LISTS[other_kind](session)
            other_request.page_size = 2
            request.page_token = (await api.unary(other_name, other_request)).next_page_token
            await assert_token_refused(api, name, request)

    @pytest.mark.parametrize(
        "token",
        ["x", "AAAA", "====", "not base64!", "é", "\0", "CgA=", base64.urlsafe_b64encode(b"\xff" * 40).decode()],
    )
    async def test_garbage_is_refused(self, api: Api, session: str, kind: str, token: str) -> None:
        name, request = LISTS[kind](session)
        request.page_token = token
        await assert_token_refused(api, name, request)

    async def test_tampered_tokens_are_refused(self, api: Api, session: str, kind: str) -> None:
        await prepare(api, session)
        name, request = LISTS[kind](session)
        request.page_size = 2
        token = base64.urlsafe_b64decode((await api.unary(name, request)).next_page_token)
        spoiled = [token[:-1], token + b"\0"]
        spoiled.extend(token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :] for at in range(len(token)))
        for bad in spoiled:
            request.page_token = base64.urlsafe_b64encode(bad).decode()
            await assert_token_refused(api, name, request)

    @pytest.mark.parametrize("size", [-1, -(2**31)])
    async def test_a_page_size_below_0_is_refused(self, api: Api, session: str, kind: str, size: int) -> None:
        name, request = LISTS[kind](session)
        request.page_size = size
        error = await refused(api.unary(name, request))
        assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
        assert error.metadata == {"field": "page_size", "limit": "0"}
        assert error.message.startswith("page_size: ")

    async def test_a_page_size_over_the_limit_is_the_limit(self, tight_api: Api, session: str, kind: str) -> None:
        await prepare(tight_api, session, 9)
        name, request = LISTS[kind](session)
        request.page_size = 2**31 - 1
        answer = await tight_api.unary(name, request)
        assert len(answer.sessions if name == "ListSessions" else answer.checkpoints) == 7

    async def test_page_size_0_is_the_default(self, tight_api: Api, session: str, kind: str) -> None:
        await prepare(tight_api, session)
        name, request = LISTS[kind](session)
        answer = await tight_api.unary(name, request)
        assert len(answer.sessions if name == "ListSessions" else answer.checkpoints) == 2

    async def test_an_empty_list_has_one_empty_page(self, api: Api, session: str, kind: str) -> None:
        name, request = LISTS[kind](session)
        answer = await api.unary(name, request)
        assert not answer.ListFields()


async def prepare(api: Api, session: str, total: int = TOTAL) -> None:
    """All at once, so that some are saved in the same moment."""
    mine = [checkpoint(f"{session}{number}", metadata={"of": f'"{session}"'}) for number in range(total)]
    others = [checkpoint(other(session), number, namespace="ab"[number % 2]) for number in range(total)]
    await asyncio.gather(*(save(api, each) for each in [*mine, *others]))


OTHER_FILTERS: dict[str, list[Any]] = {
    "ListSessions": [
        sessions_request(session_id_prefix="t"),
        sessions_request(labels={"a": "b"}),
        sessions_request(updated_since={"seconds": 1}),
        sessions_request(updated_before={"seconds": 2**33}),
    ],
    "ListCheckpoints": [
        list_request(session_id="other"),
        list_request(namespace=""),
        list_request(min_step=0),
        list_request(max_step=2**62),
        list_request(ran_node={"custom": ""}),
        list_request(skipped_node={"custom": ""}),
        list_request(session_id="other", before_checkpoint_id="a"),
        list_request(metadata={"a": "1"}),
        list_request(include_total=True),
        list_request(include_writes=True),
        list_request(view=1),
    ],
}


async def assert_token_refused(api: Api, name: str, request: Any) -> None:
    error = await refused(api.unary(name, request))
    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")
    assert error.metadata == {"field": "page_token"}
    assert error.message.startswith("page_token: ")
    (violation,) = error.detail("BadRequest").field_violations
    assert violation.field == "page_token"


GOOD = PageToken(time=2**63 - 1, key=b"k" * 16, id="\U0010ffff" * 60, namespace="n" * 512)
"""A position before all that is listed last first, and behind all that is listed by id."""
FORGED = {
    "a time below 0": PageToken(time=-1),
    "the least time": PageToken(time=-(2**63)),
    "a short key": PageToken(key=b"k"),
    "a long key": PageToken(key=b"k" * 17),
    "a key that is no text": PageToken(key=b"\xff" * 1000),
    "NUL in an id": PageToken(id="a\0b"),
    "a line end in an id": PageToken(id="a\nb"),
    "a long id": PageToken(id="x" * 1025),
    "a huge id": PageToken(id="x" * 100_000),
    "NUL in a namespace": PageToken(namespace="\0"),
    "a long namespace": PageToken(namespace="x" * 1025),
}


def forged(name: str, request: Any, position: PageToken) -> Any:
    """The request with a token that somebody has made who has read this program."""
    made = type(request)()
    made.CopyFrom(request)
    token = PageToken()
    token.CopyFrom(position)
    token.request_digest = fingerprint(request, DEFAULT_TENANT)
    made.page_token = write_token(token)
    return made


@pytest.mark.parametrize("kind", LISTS)
class TestForgedTokens:
    @pytest.mark.parametrize("position", FORGED)
    async def test_no_position_is_refused(self, api: Api, session: str, kind: str, position: str) -> None:
        name, request = LISTS[kind](session)
        await assert_token_refused(api, name, forged(name, request, FORGED[position]))

    async def test_a_position_moves_within_the_list(self, api: Api, session: str, kind: str) -> None:
        await prepare(api, session)
        name, request = LISTS[kind](session)
        page = await api.unary(name, forged(name, request, GOOD))
        found = page.sessions if name == "ListSessions" else page.checkpoints
        assert len(found) == (0 if kind == "sessions by id" else TOTAL)
