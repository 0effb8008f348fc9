"""The garbage collector, set for a server."""

import gc


def tune_collector() -> None:
    """Have it look at what is new, and less often than it would: what is there by now stays.

    Not too seldom: a call that fails leaves a cycle of its exception and its frames, which hold its request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 20, 50)
