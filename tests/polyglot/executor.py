"""An executor as the runner sees it: a process that is asked one thing after the other."""

import json
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ANSWER_SECONDS = 90.0
END_SECONDS = 30.0

Answer = dict[str, Any]


class Executor:
    """A running executor.

    command: how it is started, in `directory`.
    log: where its stderr goes.
    """

    def __init__(self, name: str, command: Sequence[str], directory: Path, log: Path) -> None:
        self.name = name
        self.log = log
        self._number = 0
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, encoding="utf-8"
            )
        threading.Thread(target=self._read, name=f"answers of {name}", daemon=True).start()

    def ask(self, op: str, args: Mapping[str, Any]) -> Answer:
        """The answer to one operation: an object with `ok` or `error`."""
        return self.wait(self.begin(op, args))

    def begin(self, op: str, args: Mapping[str, Any]) -> int:
        """Have it do something, without waiting for the answer; `wait` for it with the number that this gives."""
        self._number += 1
        line = json.dumps({"id": self._number, "op": op, "args": args}, ensure_ascii=False)
        self._stdin.write(line + "\n")
        self._stdin.flush()
        return self._number

    def wait(self, number: int) -> Answer:
        """The answer to an operation that was begun. Answers come in the order of the questions."""
        try:
            line = self._answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise AssertionError(f"{self.name}: no answer in {ANSWER_SECONDS} s\n{self.stderr}") from None
        assert line is not None, f"{self.name}: the executor has ended\n{self.stderr}"
        answer: Answer = json.loads(line)
        assert answer.get("id") == number, f"{self.name}: an answer to something else: {line}"
        assert "fault" not in answer, f"{self.name}: {answer['fault']}\n{self.stderr}"
        assert ("ok" in answer) != ("error" in answer), f"{self.name}: neither ok nor error: {line}"
        return answer

    @property
    def stderr(self) -> str:
        """The end of what it has written to stderr."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-20_000:]

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End it by the end of its input, which it must obey."""
        self._stdin.close()
        try:
            status = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        assert status == 0, f"{self.name}: the executor ended with {status}\n{self.stderr}"

    def kill(self) -> None:
        """End it at once, after it has gone wrong."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    @property
    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin
