"""The garbage collector, set for a server."""

import gc


def tune_collector() -> None:
    """Have it look at what is new, and less often than it would: what is there by now stays.

    Calls that succeed leave nothing to it. The calls of a batch have some thousands of objects while they are carried
    out, and looking at those again and again takes 5% of the time. Not too seldom, though: gRPC leaves cycles of calls
    that fail.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
