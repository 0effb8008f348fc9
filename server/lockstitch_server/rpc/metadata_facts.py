"""What filters ask of the metadata of checkpoints."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from lockstitch_server.core.format import search_terms

SHORT_JSON = 1024
"""Characters of JSON that are taken apart at once."""
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="lockstitch-filters")
"""For longer ones. Health probes of the database, in other threads, must not wait for what callers send."""


async def metadata_facts(entries: Mapping[str, str]) -> list[search_terms.Fact]:
    """The facts that a filter by metadata asks for. Long JSON is taken apart in a thread: 64 KiB of it may take 0.1 s.

    entries: name to JSON text.
    """
    texts = sorted(entries.items())
    if sum(len(text) for _, text in texts) <= SHORT_JSON:
        return [search_terms.metadata(name, text) for name, text in texts]
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREAD, lambda: [search_terms.metadata(name, text) for name, text in texts])
