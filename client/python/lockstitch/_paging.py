"""Lists that fetch their pages by themselves."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Generic

from lockstitch._transport import iterate
from lockstitch._types import Item, Page


class AsyncPager(Generic[Item]):
    """A list that comes in pages, which are fetched as they are needed: `async for item in pager`."""

    def __init__(self, fetch: Callable[[str], Coroutine[Any, Any, Page[Item]]], page_token: str) -> None:
        self._fetch = fetch
        self._first = page_token

    async def pages(self) -> AsyncGenerator[Page[Item], None]:
        """The pages, each with the token that the next one is fetched with."""
        page = await self._fetch(self._first)
        yield page
        while page.next_page_token:
            page = await self._fetch(page.next_page_token)
            yield page

    def __aiter__(self) -> AsyncGenerator[Item, None]:
        return self._items()

    async def _items(self) -> AsyncGenerator[Item, None]:
        damaged: Exception | None = None
        async for page in self.pages():
            for item in page.items:
                yield item
            damaged = damaged or next((each.error for each in page.damaged), None)
        if damaged is not None:
            raise damaged


class Pager(Generic[Item]):
    """A list that comes in pages, which are fetched as they are needed: `for item in pager`."""

    def __init__(self, pager: AsyncPager[Item]) -> None:
        self._pager = pager

    def pages(self) -> Iterator[Page[Item]]:
        """The pages, each with the token that the next one is fetched with."""
        return iterate(self._pager.pages())

    def __iter__(self) -> Iterator[Item]:
        return iterate(aiter(self._pager))
