"""What filters ask of the metadata of checkpoints."""

from collections.abc import Mapping

from lockstitch_server.core.format import search_terms
from lockstitch_server.rpc.fair_threads import FairThreads

SHORT_JSON = 1024
"""Characters of JSON that are parsed at once."""


class MetadataFacts:
    """Parses filters by metadata. Long ones are parsed in a thread: 64 KiB of JSON may take 0.1 s.

    The thread is of its own: health probes of the database, in other threads, must not wait for what callers send.
    """

    def __init__(self) -> None:
        self._thread = FairThreads(1, 1, "lockstitch-filters")

    async def of(self, tenant: str, entries: Mapping[str, str]) -> list[search_terms.Fact]:
        """The facts that a filter asks for. entries: name to JSON text."""
        texts = sorted(entries.items())

        def parse() -> list[search_terms.Fact]:
            return [search_terms.metadata(name, text) for name, text in texts]

        is_short = sum(len(text) for _, text in texts) <= SHORT_JSON
        return parse() if is_short else await self._thread.run(tenant, parse)
