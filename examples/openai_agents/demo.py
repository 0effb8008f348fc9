"""A conversation with an agent that is killed while its model thinks, and continues in another process.

    python demo.py

Starts a server with SQLite in a temporary directory, and `worker.py` in processes of its own. Ends with 0 if no item of
the conversation is lost.
"""

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from examples.stage import report, run, server  # noqa: E402 - it is found by its directory


def main() -> int:
    """The whole story. Gives 0 if it ends as it should."""
    with tempfile.TemporaryDirectory() as directory, server(Path(directory)) as target:
        worker = (str(HERE / "worker.py"), target, "chat-42")
        first = run("first", *worker, "where is my parcel?")
        second = run("second", *worker, "think slowly", kill_at="thinks")
        third = run("third", *worker, "and now?")
    return report(
        {
            "the first process had an answer": first == ["history: 0 items", "assistant: this is prompt 1"],
            "the second was killed while the model thought": second == ["history: 2 items", "thinks"],
            "the third knew all that was said": third == ["history: 3 items", "assistant: this is prompt 3"],
        }
    )


if __name__ == "__main__":
    sys.exit(main())
