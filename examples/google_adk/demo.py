"""An agent of Google's Agent Development Kit that is killed, and continued in another process.

    pip install 'lockstitch[google-adk,server]'
    python demo.py

Starts a Lockstitch server with SQLite in a temporary directory, and `desk.py` in processes of its own. Ends with 0 if
every step has run to its end once.
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
        desk = (str(HERE / "desk.py"), target)
        first = run("first", *desk, "where is my parcel?", "--slow", kill_at="draft: begins")
        second = run("second", *desk, "continue")
    return report(
        {
            "the first process was killed while it drafted": first
            == ["look_up: begins", "event: order 4711 was lost", "draft: begins"],
            "the second continued with the draft": second[:-1]
            == ["draft: begins", "event: refund 12.50", "act: begins", "event: refunded"],
            "no event was lost": second[-1] == "5 events; refunded",
        }
    )


if __name__ == "__main__":
    sys.exit(main())
