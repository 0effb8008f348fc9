"""An API, or several over one store, whose logs are merged while they save."""

import asyncio

from lockstitch.v1.checkpoint_service_pb2 import SaveRequest, SaveResponse
from lockstitch_server.engine.maintenance.merger import Merger, MergeSettings
from lockstitch_server.engine.maintenance.verifier import verify
from tests.core.api_engine import ApiEngine
from tests.core.model import Model
from tests.support.api import RawApi

TENANT = "default"


class MergingEngine(ApiEngine):
    """Every batch of saves races a merge of all logs of its session, by another server."""

    def __init__(self, apis: list[RawApi], loop: asyncio.Runner, row_bytes: int) -> None:
        super().__init__(apis, loop)
        self._mergers = [Merger(api.store, MergeSettings(0, row_bytes, 9)) for api in apis]
        self._stores = [api.store for api in apis]

    @property
    def merged_rows(self) -> int:
        return sum(merger.stats.rows for merger in self._mergers)

    def save(self, requests: list[SaveRequest]) -> list[SaveResponse | str]:
        async def work() -> list[SaveResponse | str]:
            merging = asyncio.create_task(self._merge(requests[0].checkpoint.session_id))
            answers = await self._answers(requests)
            await merging
            return answers

        return self._run(work())

    def look_through(self, session: str, model: Model) -> None:
        super().look_through(session, model)
        self._run(self._merge(session))
        super().look_through(session, model)
        self._run(self._check())

    async def _merge(self, session: str) -> None:
        await self._rng.choice(self._mergers).merge_session(TENANT, session)

    async def _check(self) -> None:
        faults = [fault async for _, found in verify(self._stores[0]) for fault in found if not fault.harmless]
        assert not faults
