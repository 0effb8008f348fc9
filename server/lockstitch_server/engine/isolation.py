"""An item that breaks its batch does not break the other items."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from lockstitch_server.core.errors import Failure, Reason

T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[Sequence[T]], Awaitable[Sequence[R | Failure]]]

log = structlog.get_logger(__name__)


class BatchTooLarge(Exception):
    """A batch of several items needs too much memory or time. Its items do not, each alone."""


async def run_isolated(work: Work[T, R], items: Sequence[T]) -> Sequence[R | Failure]:
    """Run a batch. If it breaks, run each item alone, in order: then only the items that break it fail.

    A batch breaks by DATA_LOSS, which one damaged row causes, by an error of the server itself, and if it is too large.
    All other failures concern every item: raises them.
    """
    try:
        return await work(items)
    except Failure as failure:
        if failure.reason is not Reason.DATA_LOSS or len(items) == 1:
            raise
    except BatchTooLarge:
        log.info("batch_split", items=len(items))
    except Exception:
        log.warning("batch_failed", items=len(items), exc_info=True)
    return [await _run_alone(work, item) for item in items]


async def _run_alone(work: Work[T, R], item: T) -> R | Failure:
    try:
        (result,) = await work([item])
    except Failure as failure:
        return failure
    except Exception:
        log.exception("item_failed")
        return Failure(Reason.INTERNAL, "the server failed to do this")
    return result
