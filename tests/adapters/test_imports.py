"""No framework is imported unless the program asks for it."""

import subprocess
import sys

FRAMEWORKS = {"agent_framework", "agents", "claude_agent_sdk", "langchain_core", "langgraph", "openai"}


def test_the_client_imports_no_framework() -> None:
    program = "import sys, lockstitch, lockstitch.adapters, lockstitch.inspect; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "lockstitch.adapters" in imported
    assert imported & FRAMEWORKS == set()
    assert not any(name.startswith("google.adk") for name in imported)
