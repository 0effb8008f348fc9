"""Stands in for Claude Code's command line, so that the demo needs no key and no network.

It speaks the protocol of the SDK, keeps transcripts as the real one does, and answers each prompt with the number of
prompts that the transcript has. A prompt with "slowly" is never answered completely.
"""

import json
import os
import stat
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from claude_agent_sdk import project_key_for_directory

SLOW_SECONDS = 30.0


def install(directory: Path) -> str:
    """Put a program `claude` into a directory that runs this file. Gives its path, for `cli_path`."""
    program = directory / "claude"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def option(name: str) -> str:
    """The value of an option such as `--resume=ID`; "" if it is not given."""
    return next((argument.partition("=")[2] for argument in sys.argv if argument.startswith(f"--{name}=")), "")


def emit(message: Mapping[str, Any]) -> None:
    print(json.dumps(message), flush=True)


class Transcript:
    """The file of a session. Its entries go to the SDK, too, which passes them to the session store."""

    def __init__(self) -> None:
        home = Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")
        self.session_id = option("resume") or option("session-id") or str(uuid.uuid4())
        self._path = home / "projects" / project_key_for_directory(os.getcwd()) / f"{self.session_id}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, role: str, text: str) -> None:
        entry = {
            "type": role,
            "uuid": str(uuid.uuid4()),
            "sessionId": self.session_id,
            "timestamp": datetime.now(UTC).isoformat(),
            "message": {"role": role, "content": [{"type": "text", "text": text}]},
        }
        with self._path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        if "--session-mirror" in sys.argv:
            emit({"type": "transcript_mirror", "filePath": str(self._path), "entries": [entry]})

    def prompts(self) -> int:
        return sum(json.loads(line)["type"] == "user" for line in self._path.read_text().splitlines())


def wait_for_end(process: int) -> None:
    """Return when the SDK's process has ended, or after some time."""
    end = time.monotonic() + SLOW_SECONDS
    while os.getppid() == process and time.monotonic() < end:
        time.sleep(0.1)


def answer(transcript: Transcript, prompt: str) -> None:
    transcript.append("user", prompt)
    text = f"this is prompt {transcript.prompts()}"
    transcript.append("assistant", text)
    content = [{"type": "text", "text": text}]
    message = {"role": "assistant", "model": "offline", "content": content}
    emit({"type": "assistant", "parent_tool_use_id": None, "session_id": transcript.session_id, "message": message})
    if "slowly" in prompt:
        wait_for_end(os.getppid())
        sys.exit()
    result = {"type": "result", "subtype": "success", "is_error": False, "result": text, "num_turns": 1}
    emit({**result, "session_id": transcript.session_id, "duration_ms": 1, "duration_api_ms": 1})


def main() -> None:
    if "-v" in sys.argv:
        print("2.1.999 (Claude Code)")
        return
    transcript = Transcript()
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "control_request":
            response = {"subtype": "success", "request_id": message["request_id"], "response": {}}
            emit({"type": "control_response", "response": response})
        elif message["type"] == "user":
            content = message["message"]["content"]
            answer(transcript, content if isinstance(content, str) else content[0]["text"])


if __name__ == "__main__":
    main()
