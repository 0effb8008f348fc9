"""Plain state: a part of the Python client's executor."""

from collections.abc import Awaitable
from typing import Any

import lockstitch
from lockstitch import json_text, json_value
from lockstitch.plain import AsyncThread

Args = dict[str, Any]
Ok = dict[str, Any]


class PlainOperations:
    """Operations on threads."""

    def __init__(self) -> None:
        self.threads: dict[tuple[str, str], AsyncThread[dict[str, Any]]] = {}

    @property
    def client(self) -> lockstitch.AsyncClient:
        raise NotImplementedError

    async def plain_save(self, args: Args) -> Ok:
        thread = self._thread(args)
        state: Any = json_value(args["state"])
        return await refused_or(_step(thread, thread.save(state)))

    async def plain_append(self, args: Args) -> Ok:
        thread = self._thread(args)
        items: Any = json_value(args["items"])
        return await refused_or(_step(thread, thread.append(args["key"], *items)))

    async def plain_load(self, args: Args) -> Ok:
        return await refused_or(self._load(args))

    async def plain_history(self, args: Args) -> Ok:
        return {"steps": [version.step async for version in self._thread(args).history()]}

    async def plain_fork(self, args: Args) -> Ok:
        fork = await self._thread(args).fork(args["target"], step=args.get("step"))
        return {"state": json_text(await fork.load())}

    async def plain_rewind(self, args: Args) -> Ok:
        return {"state": json_text(await self._thread(args).rewind(args["step"]))}

    async def plain_save_ill_formed(self, args: Args) -> Ok:
        thread = self._thread(args)
        return await refused_or(_step(thread, thread.save({"a": {"b": ["\ud83d"]}})))

    async def _load(self, args: Args) -> Ok:
        thread = self._thread(args)
        state = await (thread.load() if args.get("step") is None else thread.at(args["step"]))
        return {"state": None if state is None else json_text(state), "step": thread.step}

    def _thread(self, args: Args) -> AsyncThread[dict[str, Any]]:
        key = args["session_id"], args.get("by") or ""
        if key not in self.threads:
            self.threads[key] = self.client.thread(args["session_id"])
        return self.threads[key]


async def _step(thread: AsyncThread[dict[str, Any]], work: Awaitable[object]) -> Ok:
    await work
    return {"step": thread.step}


async def refused_or(work: Awaitable[Ok]) -> Ok:
    """The answer, or the text of what the client refuses."""
    try:
        return await work
    except (TypeError, ValueError) as error:
        return {"refused": str(error)}
