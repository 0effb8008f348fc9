"""The blocking client with the face of the asynchronous one, so that one test is about both."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

from lockstitch import AsyncClient, Client

Kind = Literal["async", "blocking"]

_ITERATE = {"watch_session", "load_latest_many", "walk_ancestors", "list_sessions", "list_checkpoints"}
_END = object()


@asynccontextmanager
async def open_client(kind: Kind, target: str, **options: Any) -> AsyncIterator[AsyncClient]:
    """A client of either kind. A blocking one has each call made in a thread."""
    if kind == "async":
        async with AsyncClient(target, **options) as client:
            yield client
    else:
        with Client(target, **options) as blocking:
            yield cast("AsyncClient", _Threaded(blocking))


class _Threaded:
    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        if name in _ITERATE:
            return lambda *args, **kwargs: _ThreadedItems(method(*args, **kwargs))
        return lambda *args, **kwargs: asyncio.to_thread(method, *args, **kwargs)


class _ThreadedItems:
    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items

    def pages(self) -> "_ThreadedItems":
        pages: Iterator[Any] = cast("Any", self._items).pages()
        return _ThreadedItems(pages)

    async def __aiter__(self) -> AsyncIterator[Any]:
        items = iter(self._items)
        while (item := await asyncio.to_thread(next, items, _END)) is not _END:
            yield item
