"""One run of a scenario: its steps, one after the other, with one language's executor."""

import time
from typing import Any

from tests.polyglot.compare import compare, compare_error
from tests.polyglot.executor import Answer, Executor
from tests.polyglot.messages import to_arguments
from tests.polyglot.scenario import Scenario, resolve
from tests.support.server import LockstitchServer
from tests.support.tcp_proxy import TcpProxy


class Play:
    """Plays a scenario.

    names: what `$name` stands for at the beginning; `session` and `target` must be among them.
    proxy: through which the executor is connected, if anything is measured.
    """

    def __init__(
        self, executor: Executor, server: LockstitchServer, names: dict[str, Any], proxy: TcpProxy | None
    ) -> None:
        self._executor = executor
        self._server = server
        self._names = names
        self._proxy = proxy
        self._begun: list[int] = []

    def run(self, scenario: Scenario) -> None:
        """All of it. Raises AssertionError at the first step that goes another way."""
        connect = {"target": self._names["target"], **resolve(scenario.connect, self._names)}
        answer = self._executor.ask("connect", connect)
        assert "ok" in answer, answer
        for number, step in enumerate(scenario.steps):
            try:
                self._take(step)
            except AssertionError as error:
                shown = str({key: value for key, value in step.items() if key != "args"})
                raise AssertionError(f"step {number} ({shown[:500]}): {error}\n{self._executor.stderr}") from error
        assert not self._begun, "an operation was begun and never awaited"

    def _take(self, step: dict[str, Any]) -> None:
        if "server" in step:
            self._change_server(step["server"])
        elif "sleep_ms" in step:
            time.sleep(step["sleep_ms"] / 1000)
        elif "await" in step:
            self._check(step, self._executor.wait(self._begun.pop(0)))
        elif step.get("begin"):
            self._begun.append(self._executor.begin(step["op"], self._arguments(step)))
        else:
            before = self._proxy.sent if self._proxy else 0
            answer = self._executor.ask(step["op"], self._arguments(step))
            if self._proxy and "measure" in step:
                sent = self._proxy.sent - before
                assert 0 < sent < step["measure"]["sent_below"], f"{sent} bytes were sent"
            self._check(step, answer)

    def _arguments(self, step: dict[str, Any]) -> Any:
        return to_arguments(resolve(step.get("args", {}), self._names))

    def _check(self, step: dict[str, Any], answer: Answer) -> None:
        if "error" in step:
            assert "error" in answer, f"it should have failed: {answer}"
            compare_error(resolve(step["error"], self._names), answer["error"])
        else:
            assert "ok" in answer, f"it failed: {answer['error']}"
            compare(resolve(step.get("ok", {}), self._names), answer["ok"])
        for name, path in step.get("keep", {}).items():
            self._names[name] = _at(answer.get("ok", answer.get("error")), path)

    def _change_server(self, what: str) -> None:
        assert what in ("start", "stop", "kill", "freeze", "thaw"), f"what is {what}?"
        getattr(self._server, what)()


def _at(value: Any, path: str) -> Any:
    """Part of an answer, such as `checkpoints.0.checkpoint`."""
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value
