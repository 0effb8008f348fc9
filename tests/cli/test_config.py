"""`lockstitch config`."""

import json
import tomllib
from pathlib import Path

import pytest

from lockstitch_server.cli.settings import known_settings
from lockstitch_server.config import Settings
from tests.cli.commands import Command

URL = "postgresql://someone:pass:w@rd@db/lockstitch?sslpassword=other"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(*arguments: str) -> str:
    done = Command("config", *arguments).in_process()
    assert done.code == 0, done.err
    return done.out


def test_it_is_a_configuration_file_that_says_the_same() -> None:
    assert Settings.model_validate(tomllib.loads(shown())) == Settings()


def test_every_value_has_its_origin(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "lockstitch.toml").write_text("pool_size = 3\n[queue]\nmax_loads = 7\n")
    monkeypatch.setenv("LOCKSTITCH_LIMITS__MAX_PARTS", "5")
    lines = [line.split() for line in shown("--set", "queue.load_batch=9").splitlines() if "=" in line]
    assert len(lines) == len(known_settings())
    told = {line[0]: " ".join(line[2:]) for line in lines}
    assert told["pool_size"] == "3 # lockstitch.toml"
    assert told["max_loads"] == "7 # lockstitch.toml"
    assert told["max_parts"] == "5 # LOCKSTITCH_LIMITS__MAX_PARTS"
    assert told["load_batch"] == "9 # --set"
    assert told["log_level"] == '"info" # default'
    assert told["max_message_bytes"] == "67108864 # default; 64 MiB"


def test_json() -> None:
    document = json.loads(shown("--json", "--set", "limits.max_parts=5"))
    assert document["file"] is None
    assert document["origins"] == {"limits.max_parts": "--set"}
    assert Settings.model_validate(document["settings"]).limits.max_parts == 5


def test_no_way_shows_a_password(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTITCH_STORE", URL)
    (directory / "lockstitch.toml").write_text(f'store = "{URL}"')
    for output in (shown(), shown("--json"), shown("--set", f"store={URL}")):
        assert "postgresql://someone:***@db/lockstitch?sslpassword=***" in output
        assert "pass:w" not in output
        assert "other" not in output


def test_the_schema_is_one() -> None:
    schema = json.loads(shown("--schema"))
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["properties"]) == set(Settings.model_fields)
    assert schema["properties"]["pool_size"]["maximum"] == 1000


def test_a_wrong_value_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTITCH_POOL_SIZE", "0")
    Command("config").in_process().refused("LOCKSTITCH_POOL_SIZE", "pool_size", "from 1 to 1000")
