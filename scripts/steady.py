"""Tell tests that fail by chance from tests that fail: run what failed last once more, by itself.

    .venv/bin/python scripts/steady.py    after a pytest run that failed

At most MOST tests may have failed. Each of them must pass ROUNDS times in a row, alone. Ends with 0 if all do, and
names them: each is a fault of its own to mend. CI uses this, so that a machine that is busy for a moment does not
decide about a change. `make test` and `make test-all` do not.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAST_FAILED = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
MOST = 3
ROUNDS = 3


def failed() -> list[str]:
    """The tests that failed last."""
    return sorted(json.loads(LAST_FAILED.read_text())) if LAST_FAILED.exists() else []


def passes(test: str) -> bool:
    """Whether a test passes in every round."""
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", test]
    return all(subprocess.run(command, cwd=ROOT, check=False).returncode == 0 for _ in range(ROUNDS))


def main() -> None:
    tests = failed()
    if not 1 <= len(tests) <= MOST:
        raise SystemExit(f"{len(tests)} failed tests are named by {LAST_FAILED.name}; 1 to {MOST} may be chance.")
    for test in tests:
        print(f"\nUNSTEADY? {test}: {ROUNDS} rounds by itself", flush=True)
        if not passes(test):
            raise SystemExit(f"{test} fails.")
    LAST_FAILED.unlink()
    print("\nUNSTEADY, to be mended: " + " ".join(tests), flush=True)


if __name__ == "__main__":
    main()
