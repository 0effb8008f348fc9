"""A session of Claude that is killed in the middle of a turn, and continues in another process.

    python demo.py

Starts a server with SQLite in a temporary directory, and `worker.py` in processes of its own, with a command line that
stands in for Claude Code. Ends with 0 if no entry is lost.
"""

import sys
import tempfile
import uuid
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from examples.claude_agent_sdk.offline_cli import install  # noqa: E402 - it is found by its directory
from examples.stage import report, run, server  # noqa: E402


def main() -> int:
    """The whole story. Gives 0 if it ends as it should."""
    with tempfile.TemporaryDirectory() as directory, server(Path(directory)) as target:
        worker = (str(HERE / "worker.py"), target, str(uuid.uuid4()))

        def work(who: str, *arguments: str, kill_at: str | None = None) -> list[str]:
            home = Path(directory, who)  # each process has disks of its own, as on another machine
            home.mkdir()
            environment = {"CLAUDE": install(home), "CLAUDE_CONFIG_DIR": str(home)}
            return run(who, *worker, *arguments, kill_at=kill_at, environment=environment)

        first = work("first", "begin", "where is my parcel?")
        second = work("second", "continue", "look slowly", kill_at="stored: 4 entries")
        third = work("third", "continue", "and now?")
    return report(
        {
            "the first process had an answer": first == ["assistant: this is prompt 1", "stored: 2 entries", "done"],
            "the second was killed in its turn": second == ["assistant: this is prompt 2", "stored: 4 entries"],
            "the third knew all that was said": third == ["assistant: this is prompt 3", "stored: 6 entries", "done"],
        }
    )


if __name__ == "__main__":
    sys.exit(main())
