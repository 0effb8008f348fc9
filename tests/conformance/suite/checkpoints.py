"""ListCheckpoints: which checkpoints, in which order, and what is said of each."""

from itertools import pairwise
from typing import Any

import pytest

from lockstitch.v1.checkpoint_pb2 import NodeKind
from lockstitch.v1.checkpoint_service_pb2 import (
    CHECKPOINT_VIEW_HEADER,
    SaveWritesRequest,
)
from tests.conformance.builders import (
    END,
    MAX_STEP,
    MAX_U64,
    START,
    assert_same,
    checkpoint,
    full_checkpoint,
    ids,
    list_request,
    load,
    node,
    page,
    refused,
    save,
    state,
    steps,
    values,
    write,
)
from tests.conformance.suite.paging import checkpoint_pages, flat
from tests.support.api import Api


class TestListCheckpoints:
    async def test_newest_first_by_id(self, api: Api, session: str) -> None:
        in_order = ["1", "10", "9", "B", "a", "é", "ￏ", "🧵"]
        for name in ["9", "🧵", "a", "1", "é", "B", "ￏ", "10"]:
            await save(api, checkpoint(session, checkpoint_id=name))
        assert await ids(api, session) == in_order[::-1]

    async def test_then_by_namespace(self, api: Api, session: str) -> None:
        places = [("b", "z"), ("a", "é"), ("a", "b"), ("a", "B"), ("a", "")]
        for name, namespace in places[::-1]:
            await save(api, checkpoint(session, checkpoint_id=name, namespace=namespace))
        for size in (1, 2, 5, 6):
            pages = await checkpoint_pages(api, list_request(session_id=session, page_size=size))
            assert flat(pages) == [name for name, _ in places]
        found = [(each.checkpoint_id, each.namespace) for each in (await page(api, session)).checkpoints]
        assert found == places

    async def test_whole_checkpoints(self, api: Api, session: str) -> None:
        sent = [full_checkpoint(session, step) for step in (1, 2, 3)]
        for each in sent:
            await save(api, each)
        for found, expected in zip((await page(api, session)).checkpoints, reversed(sent), strict=True):
            assert_same(found, expected)

    async def test_headers_only(self, api: Api, session: str) -> None:
        sent = full_checkpoint(session)
        await save(api, sent)
        sent.ClearField("state")
        assert_same((await page(api, session, view=CHECKPOINT_VIEW_HEADER)).checkpoints[0], sent)

    async def test_concurrency_limits_of_the_past_are_kept(self, api: Api, session: str) -> None:
        limits = [1, 7, 0, MAX_U64]
        for step, limit in enumerate(limits):
            await save(api, checkpoint(session, step, concurrency_limit=limit))
        found = (await page(api, session, view=CHECKPOINT_VIEW_HEADER)).checkpoints
        assert [each.concurrency_limit for each in found] == limits[::-1]

    async def test_details(self, api: Api, session: str) -> None:
        saved = [await save(api, checkpoint(session, step, state=state("x" * step * 100))) for step in (1, 2)]
        await save(api, checkpoint(session, 1, namespace="other"))
        answer = await page(api, session, namespace="")
        assert [each.revision for each in answer.details] == [saved[1].revision, saved[0].revision]
        assert [each.saved_at for each in answer.details] == [saved[1].saved_at, saved[0].saved_at]
        assert [each.state_bytes // 100 for each in answer.details] == [2, 1]

    async def test_channel_sizes_are_given_if_asked_for(self, api: Api, session: str) -> None:
        for step, text in enumerate(("short", "x" * 500, "x" * 500)):
            named = state(text)
            named.extra.entries["k"] = '"same"'
            named.custom["c"].blob.data = b"v" * (100 + step)
            await save(api, checkpoint(session, step, state=named))
        asked = await page(api, session, view=CHECKPOINT_VIEW_HEADER, include_channel_sizes=True)
        sizes = [{size.channel: size for size in each.channels} for each in asked.details]
        assert [set(each) for each in sizes] == [{"messages", "extra/k", "custom/c"}] * 3
        assert [each["extra/k"].bytes for each in sizes] == [6, 6, 6]
        assert [each["custom/c"].bytes - 100 - step for each, step in zip(sizes, (2, 1, 0), strict=True)] == [2, 2, 2]
        assert [each["messages"].bytes // 100 for each in sizes] == [5, 5, 0]
        same, grown = [
            {name for name in new if new[name].fingerprint == old[name].fingerprint} for new, old in pairwise(sizes)
        ]
        assert (same, grown) == ({"messages", "extra/k"}, {"extra/k"})
        assert not any(each.channels for each in (await page(api, session)).details)

    async def test_only_the_channels_that_are_asked_for(self, api: Api, session: str) -> None:
        await save(api, full_checkpoint(session, 1), writes=[write("t", 0, b"a"), write("u", 1, b"b", channel="other")])
        request = {"channels": ["messages"], "include_writes": True, "write_channels": ["other"]}
        answer = await page(api, session, **request)
        expected = full_checkpoint(session, 1)
        assert answer.checkpoints[0].state.messages == expected.state.messages
        assert not answer.checkpoints[0].state.HasField("extra")
        assert not answer.checkpoints[0].state.custom
        assert values(answer.details[0].pending_writes) == [b"b"]

    async def test_writes_are_given_if_asked_for(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 1), writes=[write(data=b"1")])
        await save(api, checkpoint(session, 2))
        await save(api, checkpoint(session, 3), writes=[write("t", index, b"3") for index in range(3)])
        with_writes = (await page(api, session, include_writes=True)).details
        assert [values(each.pending_writes) for each in with_writes] == [[b"3"] * 3, [], [b"1"]]
        assert [values(each.pending_writes) for each in (await page(api, session)).details] == [[], [], []]

    async def test_writes_without_their_checkpoint_are_not_listed(self, api: Api, session: str) -> None:
        await api.save_writes(SaveWritesRequest(session_id=session, checkpoint_id="a", writes=[write()]))
        assert not (await page(api, session, include_writes=True)).ListFields()

    async def test_the_whole_tenant_last_saved_first(self, api: Api, session: str) -> None:
        mine = {"metadata": {"of": f'"{session}"'}}
        for number, name in enumerate("abcabc"):
            await save(api, checkpoint(session + name, number, namespace="n" * (number % 2), **mine))
        await save(api, checkpoint(f"{session}b", 1, namespace="n", state=state("again"), **mine))
        for request in (list_request(page_size=6), list_request(page_size=6, **mine)):
            found = (await api.list_checkpoints(request)).checkpoints
            assert [each.step for each in found] == [1, 5, 4, 3, 2, 0]
            assert [each.session_id.removeprefix(session) for each in found] == list("bcbaca")
        for size in (1, 4):
            pages = await checkpoint_pages(api, list_request(page_size=size, **mine))
            assert flat(pages) == [f"{step:020d}" for step in (1, 5, 4, 3, 2, 0)]

    async def test_a_list_read_while_it_grows_at_its_head(self, api: Api, session: str) -> None:
        for step in range(6):
            await save(api, checkpoint(session, step))
        first = await page(api, session, page_size=2)
        await save(api, checkpoint(session, 6))
        second = await page(api, session, page_size=2, page_token=first.next_page_token)
        assert [each.step for each in second.checkpoints] == [3, 2]


class TestFilters:
    @pytest.mark.parametrize(
        ("bounds", "expected"),
        [
            ({}, [MAX_STEP, 7, 2, 1, 0]),
            ({"min_step": 0}, [MAX_STEP, 7, 2, 1, 0]),
            ({"min_step": 2}, [MAX_STEP, 7, 2]),
            ({"max_step": 2}, [2, 1, 0]),
            ({"max_step": 0}, [0]),
            ({"min_step": 1, "max_step": 2}, [2, 1]),
            ({"min_step": 3, "max_step": 6}, []),
            ({"min_step": 2, "max_step": 1}, []),
            ({"min_step": MAX_STEP}, [MAX_STEP]),
            ({"max_step": MAX_STEP}, [MAX_STEP, 7, 2, 1, 0]),
        ],
        ids=str,
    )
    async def test_steps(self, api: Api, session: str, bounds: dict[str, int], expected: list[int]) -> None:
        for step in (0, 1, 2, 7, MAX_STEP):
            await save(api, checkpoint(session, step))
        assert await steps(api, session, **bounds) == expected

    async def test_namespaces(self, api: Api, session: str) -> None:
        for step, namespace in enumerate(["", "a", "A", "a/b", ""]):
            await save(api, checkpoint(session, step, namespace=namespace))
        assert await steps(api, session) == [4, 3, 2, 1, 0]
        assert await steps(api, session, namespace="") == [4, 0]
        assert await steps(api, session, namespace="a") == [1]
        assert await steps(api, session, namespace="missing") == []

    async def test_below_an_id(self, api: Api, session: str) -> None:
        for name in ("1", "10", "2", "B", "a"):
            await save(api, checkpoint(session, checkpoint_id=name))
        assert await ids(api, session, before_checkpoint_id="2") == ["10", "1"]
        assert await ids(api, session, before_checkpoint_id="a") == ["B", "2", "10", "1"]
        assert await ids(api, session, before_checkpoint_id="1") == []
        assert await ids(api, session, before_checkpoint_id="zzz") == ["a", "B", "2", "10", "1"]

    @pytest.mark.parametrize("field", ["ran", "skipped"])
    async def test_nodes_match_exactly(self, api: Api, session: str, field: str) -> None:
        nodes = [[node("A")], [node("AB")], [node("a")], [node("B"), node("A")], [node("Start")], [START], [END, START],
                 [node("")], [], [node("%")], [node("Custom:A")]]  # fmt: skip
        for step, each in enumerate(nodes):
            await save(api, checkpoint(session, step, **{f"{field}_nodes": each}))
        wanted: list[tuple[NodeKind, list[int]]] = [
            (node("A"), [3, 0]),
            (node("AB"), [1]),
            (node("B"), [3]),
            (node("Start"), [4]),
            (START, [6, 5]),
            (END, [6]),
            (node(""), [7]),
            (node("%"), [9]),
            (node("Custom:A"), [10]),
            (node("missing"), []),
        ]
        for each_node, expected in wanted:
            assert await steps(api, session, **{f"{field}_node": each_node}) == expected

    async def test_a_node_that_ran_was_not_skipped(self, api: Api, session: str) -> None:
        await save(api, checkpoint(session, 1, ran_nodes=[node("a")], skipped_nodes=[node("b")]))
        await save(api, checkpoint(session, 2, ran_nodes=[node("b")], skipped_nodes=[node("a")]))
        assert await steps(api, session, ran_node=node("a")) == [1]
        assert await steps(api, session, skipped_node=node("a")) == [2]
        assert await steps(api, session, ran_node=node("a"), skipped_node=node("b")) == [1]
        assert await steps(api, session, ran_node=node("a"), skipped_node=node("a")) == []

    @pytest.mark.parametrize(
        ("stored", "equal", "other"),
        [
            ("1", ["1", "1.0", "1e0", "10E-1", " 1 ", "0.1e1"], ["2", '"1"', "true", "[1]", "-1", "1.1"]),
            ("0", ["-0", "0.0", "-0.0", "0e5"], ["false", '""', "null", "1"]),
            ("9007199254740993", ["9007199254740993.0"], ["9007199254740992", "9007199254740994"]),
            ("18446744073709551616", ["18446744073709551616"], ["18446744073709551615", "18446744073709551617"]),
            ("1e400", ["10e399"], ["1e401", "1e309", '"1e400"']),
            ("0.1", ["1e-1", "0.10"], ["0.1000000000000000055511151231257827"]),
            ("true", ["true"], ["1", '"true"', "false"]),
            ("null", ["null"], ["0", '""', "false", "{}", "[]"]),
            ('"a"', ['"\\u0061"'], ['"A"', '"a "', '["a"]', '""']),
            ('"\\ud83e\\uddf5"', ['"🧵"'], ['"\\ud83e"']),
            ('"\\u0000"', ['"\\u0000"'], ['""']),
            ('{"b":1,"a":[1,2]}', ['{"a": [1.0, 2], "b": 1}'], ['{"a":[2,1],"b":1}', '{"a":[1,2]}', '{"b":1}']),
            ("[]", ["[ ]"], ["{}", "[[]]", '""']),
            ("{}", ["{ }"], ["[]", '{"":{}}']),
            ('[["a",1]]', ['[ ["a",1.0] ]'], ['{"a":1}']),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_metadata_by_value(
        self, api: Api, session: str, stored: str, equal: list[str], other: list[str]
    ) -> None:
        await save(api, checkpoint(session, metadata={"k": stored, "j": '"of j"'}))
        for text in [stored, *equal]:
            assert await steps(api, session, metadata={"k": text}) == [1], text
        for text in other:
            assert await steps(api, session, metadata={"k": text}) == [], text
        assert await steps(api, session, metadata={"j": stored}) == []

    async def test_all_metadata_entries_must_match(self, api: Api, session: str) -> None:
        for step, entries in enumerate([{"a": "1"}, {"a": "1", "b": "2"}, {"a": "2", "b": "2"}, {}]):
            await save(api, checkpoint(session, step, metadata=entries))
        assert await steps(api, session, metadata={"a": "1"}) == [1, 0]
        assert await steps(api, session, metadata={"a": "1", "b": "2"}) == [1]
        assert await steps(api, session, metadata={"b": "2"}) == [2, 1]
        assert await steps(api, session, metadata={"c": "null"}) == []

    async def test_all_together(self, api: Api, session: str) -> None:
        for step in range(20):
            fields: dict[str, Any] = {
                "namespace": "n" * (step % 2),
                "ran_nodes": [node(f"{step % 3}")],
                "skipped_nodes": [END] * (step % 5 == 0),
                "metadata": {"m": str(step % 4)},
            }
            await save(api, checkpoint(session, step, **fields))
        filters: dict[str, Any] = {"min_step": 3, "max_step": 18, "namespace": "", "ran_node": node("0")}
        assert await steps(api, session, **filters) == [18, 12, 6]
        assert await steps(api, session, **filters, metadata={"m": "2"}) == [18, 6]
        assert await steps(api, session, **filters, metadata={"m": "2"}, before_checkpoint_id=f"{18:020d}") == [6]
        assert await steps(api, session, skipped_node=END, ran_node=node("1")) == [10]

    async def test_filters_work_over_the_whole_tenant(self, api: Api, session: str) -> None:
        mine = node(session)
        await save(api, checkpoint(f"{session}a", 1, ran_nodes=[mine], metadata={"k": "1"}))
        await save(api, checkpoint(f"{session}b", 2, ran_nodes=[mine], metadata={"k": "2"}))
        await save(api, checkpoint(f"{session}b", 3, skipped_nodes=[mine]))
        assert await steps(api, "", ran_node=mine) == [2, 1]
        assert await steps(api, "", ran_node=mine, metadata={"k": "1"}) == [1]
        assert await steps(api, "", skipped_node=mine) == [3]
        assert await steps(api, "", ran_node=mine, min_step=2, namespace="") == [2]

    async def test_what_was_replaced_is_found_by_what_it_is_now(self, api: Api, session: str) -> None:
        old: dict[str, Any] = {"ran_nodes": [node("old")], "metadata": {"k": '"old"'}}
        new: dict[str, Any] = {"ran_nodes": [node("new")], "metadata": {"k": '"new"'}}
        await save(api, checkpoint(session, **old))
        await save(api, checkpoint(session, **new))
        assert await steps(api, session, ran_node=node("old")) == []
        assert await steps(api, session, metadata={"k": '"old"'}) == []
        assert await steps(api, session, ran_node=node("new"), metadata={"k": '"new"'}) == [1]


class TestTotal:
    async def test_is_given_if_asked_for(self, api: Api, session: str) -> None:
        for step in range(5):
            await save(api, checkpoint(session, step))
        assert not (await page(api, session)).HasField("total_size")
        assert (await page(api, session, include_total=True)).total_size == 5

    async def test_counts_all_that_match_on_every_page(self, api: Api, session: str) -> None:
        for step in range(5):
            await save(api, checkpoint(session, step, ran_nodes=[node("a")] * (step % 2)))
        wanted = {"ran_node": node("a"), "include_total": True, "page_size": 1}
        first = await page(api, session, **wanted)
        second = await page(api, session, **wanted, page_token=first.next_page_token)
        assert (first.total_size, second.total_size) == (2, 2)

    async def test_of_nothing_is_0(self, api: Api, session: str) -> None:
        answer = await page(api, session, include_total=True)
        assert answer.HasField("total_size")
        assert answer.total_size == 0


class TestPageBytes:
    async def test_a_page_ends_where_it_is_large(self, tight_api: Api, session: str) -> None:
        for step in range(6):
            await save(tight_api, checkpoint(session, step, state=state("x" * 1500)))
        pages = await checkpoint_pages(tight_api, list_request(session_id=session, page_size=6))
        assert flat(pages) == [f"{step:020d}" for step in (5, 4, 3, 2, 1, 0)]
        assert [len(each) for each in pages] == [2, 2, 2]

    async def test_a_page_has_one_checkpoint_at_least(self, tight_api: Api, session: str) -> None:
        for step in range(3):
            await save(tight_api, checkpoint(session, step, state=state("x" * 8000)))
        pages = await checkpoint_pages(tight_api, list_request(session_id=session, page_size=3))
        assert [len(each) for each in pages] == [1, 1, 1]

    async def test_states_do_not_count_where_they_are_not_given(self, tight_api: Api, session: str) -> None:
        for step in range(3):
            await save(tight_api, checkpoint(session, step, state=state("x" * 8000)))
        request = list_request(session_id=session, page_size=3, view=CHECKPOINT_VIEW_HEADER)
        assert [len(each) for each in await checkpoint_pages(tight_api, request)] == [3]

    async def test_writes_count_where_they_are_given(self, tight_api: Api, session: str) -> None:
        for step in range(3):
            await save(tight_api, checkpoint(session, step), writes=[write(data=b"x" * 8000)])
        request = list_request(session_id=session, page_size=3)
        assert [len(each) for each in await checkpoint_pages(tight_api, request)] == [3]
        request.include_writes = True
        assert [len(each) for each in await checkpoint_pages(tight_api, request)] == [1, 1, 1]

    async def test_the_total_is_that_of_all_pages(self, tight_api: Api, session: str) -> None:
        for step in range(3):
            await save(tight_api, checkpoint(session, step, state=state("x" * 8000)))
        answer = await page(tight_api, session, page_size=3, include_total=True)
        assert (len(answer.checkpoints), answer.total_size) == (1, 3)


class TestListCheckpointsThatCannotBe:
    @pytest.mark.edge
    async def test_below_an_id_needs_a_session(self, api: Api) -> None:
        error = await refused(api.list_checkpoints(list_request(before_checkpoint_id="a")))
        assert error.metadata["field"] == "before_checkpoint_id"
        assert "session_id" in error.message

    async def test_a_missing_session_has_none(self, api: Api, session: str) -> None:
        assert not (await page(api, session)).ListFields()

    async def test_what_is_listed_can_be_loaded(self, api: Api, session: str) -> None:
        for step in range(3):
            await save(api, checkpoint(session, step, checkpoint_id=f"id {step}"))
        for found in (await page(api, session)).checkpoints:
            assert_same(await load(api, session, found.checkpoint_id), found)
