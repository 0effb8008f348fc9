"""A workflow that is killed, resumed in another process, and approved by a person in a third one.

    python demo.py

Starts a server with SQLite in a temporary directory, and `desk.py` in processes of its own. Ends with 0 if every
superstep has run once.
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
        desk = (str(HERE / "desk.py"), target, "case-1")
        first = run("first", *desk, "ask", "where is my parcel?", "--slow", kill_at="draft: begins")
        second = run("second", *desk, "resume")
        third = run("third", *desk, "answer", "yes")
    notes = "where is my parcel? | order 4711 was lost on its way | refund 12.50 | yes"
    return report(
        {
            "the first process was killed while it drafted": first == ["look_up: where is my parcel?", "draft: begins"],
            "the second continued with the draft": second == ["draft: begins", "draft: done", "asks: refund 12.50"],
            "the third took the answer": third == ["ask: a person says yes to refund 12.50", f"output: {notes}"],
        }
    )


if __name__ == "__main__":
    sys.exit(main())
