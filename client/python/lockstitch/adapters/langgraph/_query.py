"""What is asked of a list: as much of it as possible of the server, and the rest of what the server finds."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig

from lockstitch._api import Api
from lockstitch._types import ListedCheckpoint, View
from lockstitch.adapters.langgraph._codec import Place
from lockstitch.adapters.langgraph._metadata import FIRST, SPILLED, STEP, search_text, step_of

MOST_PER_PAGE = 1000
MOST_SEARCHED = 16
"""Entries that the server is asked for. What it finds is compared with all of them anyway."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which checkpoints a list wants.

    wanted: metadata entries that they all have. searched: those of them that the server can look for. step: likewise.
    before: "" for any; by the server where there is a thread, else here.
    """

    place: Place
    wanted: Mapping[str, Any]
    searched: Mapping[str, str]
    step: int | None
    before: str

    @classmethod
    def of(
        cls, config: RunnableConfig | None, filter: Mapping[str, Any] | None, before: RunnableConfig | None
    ) -> "Query":
        """What the arguments of a list say."""
        wanted = filter or {}
        texts = {key: search_text(key, wanted[key]) for key in sorted(wanted, key=lambda key: key not in FIRST)}
        searched = [(key, text) for key, text in texts.items() if text is not None]
        return cls(
            Place.of(config) if config else Place("", None, ""),
            wanted,
            dict(searched[:MOST_SEARCHED]),
            step_of(wanted.get(STEP)),
            _checkpoint_id(before) if before else "",
        )

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a checkpoint that the server has found is one that is wanted."""
        return all(key in metadata and metadata[key] == value for key, value in self.wanted.items())

    async def pages(self, api: Api, limit: int | None) -> AsyncGenerator[ListedCheckpoint, None]:
        """What the server finds, newest first."""
        only = self.place.checkpoint_id
        found = api.list_checkpoints(
            self.place.thread_id,
            namespace=self._namespace,
            before_checkpoint_id=self._before(),
            metadata=await self._metadata(api),
            min_step=self.step,
            max_step=self.step,
            include_writes=True,
            page_size=min(limit or 0, MOST_PER_PAGE),
        )
        items = aiter(found)
        async with aclosing(items):
            async for item in items:
                checkpoint_id = item.checkpoint.checkpoint_id
                if only and checkpoint_id < only:
                    return
                if (not only or checkpoint_id == only) and (not self.before or checkpoint_id < self.before):
                    yield item

    async def _metadata(self, api: Api) -> Mapping[str, str]:
        """What the server looks for: of checkpoints with too many entries it can find `FIRST` only."""
        if self.searched.keys() <= set(FIRST):
            return self.searched
        pages = api.list_checkpoints(
            self.place.thread_id, namespace=self._namespace, metadata=SPILLED, view=View.HEADER, page_size=1
        ).pages()
        async with aclosing(pages):
            async for page in pages:
                if page.items:
                    return {key: text for key, text in self.searched.items() if key in FIRST}
        return self.searched

    @property
    def _namespace(self) -> str | None:
        return None if self.place.namespace is None else self.place.ns

    def _before(self) -> str:
        """Below this the server begins. `!` follows whatever an id ends with."""
        if not self.place.thread_id:
            return ""
        only = self.place.checkpoint_id
        return min((bound for bound in (self.before, only and f"{only}!") if bound), default="")


def _checkpoint_id(config: Mapping[str, Any]) -> str:
    """The checkpoint that a config names. LangGraph's Agent Server gives what a config holds as "configurable"."""
    return str(config.get("configurable", config).get("checkpoint_id") or "")
