"""Where settings come from, which of them wins, and what is said about wrong ones."""

from pathlib import Path

import pytest

from lockstitch_server.cli.settings import Loaded, SettingsInvalid, from_command_line, known_settings, load
from lockstitch_server.config import Limits, Queue, Settings
from lockstitch_server.core.redaction import redact

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_flags(*assignments: str, **flags: object) -> Loaded:
    return load(from_command_line(assignments, flags))


def complaint(*assignments: str, **flags: object) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        with_flags(*assignments, **flags)
    (line,) = caught.value.lines
    return line


def test_defaults() -> None:
    loaded = load()
    assert loaded.settings == Settings()
    assert loaded.origins == {}
    assert loaded.file is None
    assert loaded.settings.listen == "127.0.0.1:50051"
    assert loaded.settings.store == "sqlite:///lockstitch.db"
    assert loaded.settings.limits.max_message_bytes == 64 * MIB
    assert loaded.settings.queue.batch_operations == 256


def test_defaults_are_within_their_bounds() -> None:
    assert Settings.model_validate(Settings().model_dump()) == Settings()


def test_settings_do_not_change_and_are_made_without_looking_around(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTITCH_LISTEN", "0.0.0.0:1")
    (directory / "lockstitch.toml").write_text("pool_size = 3")
    settings = Settings(store="memory://", limits=Limits(max_writes=5), queue=Queue(max_loads=6))
    assert (settings.listen, settings.pool_size) == ("127.0.0.1:50051", 8)
    with pytest.raises(ValueError, match="frozen"):
        settings.listen = "x"


def test_each_source_wins_over_the_next(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "lockstitch.toml").write_text(
        'listen = "file:1"\npool_size = 1\nlog_level = "error"\n[limits]\nmax_writes = 1\nmax_parts = 1\n'
    )
    monkeypatch.setenv("LOCKSTITCH_POOL_SIZE", "2")
    monkeypatch.setenv("LOCKSTITCH_LOG_LEVEL", "warning")
    monkeypatch.setenv("LOCKSTITCH_LIMITS__MAX_WRITES", "2")
    loaded = with_flags("limits.max_key_bytes=3", log_level="debug")
    settings = loaded.settings
    assert (settings.listen, settings.pool_size, settings.log_level) == ("file:1", 2, "debug")
    assert (settings.limits.max_parts, settings.limits.max_writes, settings.limits.max_key_bytes) == (1, 2, 3)
    assert loaded.origins == {
        ("listen",): "lockstitch.toml",
        ("pool_size",): "LOCKSTITCH_POOL_SIZE",
        ("log_level",): "--log-level",
        ("limits", "max_parts"): "lockstitch.toml",
        ("limits", "max_writes"): "LOCKSTITCH_LIMITS__MAX_WRITES",
        ("limits", "max_key_bytes"): "--set",
    }


def test_the_file_can_be_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "lockstitch.toml").write_text("pool_size = 1")
    (directory / "mine.toml").write_text("pool_size = 2")
    (directory / "yours.toml").write_text("pool_size = 3")
    assert load().settings.pool_size == 1
    monkeypatch.setenv("LOCKSTITCH_CONFIG", "mine.toml")
    assert load().settings.pool_size == 2
    loaded = load(config="yours.toml")
    assert (loaded.settings.pool_size, loaded.file) == (3, Path("yours.toml"))


def test_empty_and_unknown_variables_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTITCH_STORE", "")
    monkeypatch.setenv("LOCKSTITCH_PORT_50051_TCP", "tcp://10.0.0.1:50051")
    assert load().settings == Settings()


def test_a_group_can_be_a_variable_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTITCH_QUEUE", '{"max_loads": 5}')
    loaded = load()
    assert loaded.settings.queue.max_loads == 5
    assert loaded.origins == {("queue", "max_loads"): "LOCKSTITCH_QUEUE"}
    monkeypatch.setenv("LOCKSTITCH_QUEUE", "{max_loads")
    with pytest.raises(SettingsInvalid, match=r'not JSON.*"queue"'):
        load()


@pytest.mark.parametrize(
    ("text", "number"),
    [("65536", 65536), ("64KiB", 65536), ("1.5 MiB", 3 * MIB // 2), ("64 kb", 64_000), ("2147483647", 2**31 - 1)],
)
def test_sizes_have_units(text: str, number: int) -> None:
    assert with_flags(f"limits.max_message_bytes={text}").settings.limits.max_message_bytes == number


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:50051", "localhost:65535", "unix:/run/lockstitch.sock"])
def test_addresses(listen: str) -> None:
    assert with_flags(listen=listen).settings.listen == listen


@pytest.mark.parametrize("listen", ["", "50051", ":50051", "localhost", "localhost:65536", "localhost:-1", "unix:"])
def test_wrong_addresses(listen: str) -> None:
    takes = "host:port, such as 127.0.0.1:50051 or [::]:50051, or unix:path"
    assert complaint(listen=listen) == f"--listen: listen cannot be {listen!r}; it takes {takes}"


@pytest.mark.parametrize(
    "store", ["mysql://u:secret@h/d", "sqlite://x.db", "sqlite:///", "postgres:u:secret@h", "secret@x"]
)
def test_wrong_stores(store: str) -> None:
    line = complaint(store=store)
    assert line.startswith("--store: store cannot be ")
    assert "memory://, sqlite:///relative/path" in line
    assert "u:secret" not in line


@pytest.mark.parametrize(
    ("assignment", "takes"),
    [
        ("limits.max_writes=0", "an integer from 1 to 1000000"),
        ("limits.max_writes=many", "an integer from 1 to 1000000"),
        ("limits.max_writes=1.5", "an integer from 1 to 1000000"),
        ("limits.max_page_bytes=5 bananas", "a size in bytes from 1024 to 2147483647, or with a unit, such as 16MiB"),
        ("limits.max_page_bytes=4GiB", "a size in bytes from 1024 to 2147483647, or with a unit, such as 16MiB"),
        ("drain_seconds=-1", "a number from 0 to 3600"),
        ("drain_seconds=inf", "a number from 0 to 3600"),
        ("migrate=perhaps", "true or false"),
        ("log_format=xml", "one of auto, console, json"),
        ("limits=5", "a table of settings"),
    ],
)
def test_wrong_values(assignment: str, takes: str) -> None:
    name, _, value = assignment.partition("=")
    assert complaint(assignment) == f"--set: {name} cannot be '{value}'; it takes {takes}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("limits.max_write", "did you mean 'limits.max_writes'?"),
        ("limits.max-writes", "did you mean 'limits.max_writes'?"),
        ("max_message_bytes", "did you mean 'limits.max_message_bytes'?"),
        ("stor", "did you mean 'store'?"),
        ("quue.max_loads", "did you mean 'queue'?"),
        ("writer", "did you mean 'workers'?"),
        ("zzz", "`lockstitch config` shows all there are"),
    ],
)
def test_unknown_names(name: str, meant: str) -> None:
    line = complaint(f"{name}=1")
    assert line.startswith("--set: there is no setting ")
    assert line.endswith(meant)


def test_complaints_name_their_source(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "lockstitch.toml").write_text("pool_sise = 1\n[limits]\nmax_parts = 0")
    monkeypatch.setenv("LOCKSTITCH_LOG_LEVEL", "loud")
    with pytest.raises(SettingsInvalid) as caught:
        load()
    assert sorted(caught.value.lines) == [
        "LOCKSTITCH_LOG_LEVEL: log_level cannot be 'loud'; it takes one of debug, info, warning, error",
        "lockstitch.toml: limits.max_parts cannot be 0; it takes an integer from 1 to 1000000",
        "lockstitch.toml: there is no setting 'pool_sise'; did you mean 'pool_size'?",
    ]


def test_a_file_that_is_not_toml(directory: Path) -> None:
    (directory / "lockstitch.toml").write_text("listen = \n")
    with pytest.raises(SettingsInvalid, match=r"lockstitch.toml is not TOML: .*line 1"):
        load()


def test_a_file_that_is_not_there(directory: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"other.toml cannot be read: No such file"):
        load(config="other.toml")
    with pytest.raises(SettingsInvalid, match=r"cannot be read: Is a directory"):
        load(config=str(directory))


def test_an_assignment_needs_a_value() -> None:
    with pytest.raises(SettingsInvalid, match="--set takes NAME=VALUE"):
        with_flags("listen")


def test_every_setting_is_described_and_bounded() -> None:
    for name, schema in known_settings().items():
        assert schema.get("description"), name
        numeric = schema.get("type") in ("integer", "number") or isinstance(schema.get("type"), list)
        assert not numeric or {"minimum", "maximum"} <= set(schema), name


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p@s:s/w?rd@h:1,h2:2/db?a=1", "postgresql://u:***@h:1,h2:2/db?a=1"),
        (
            "postgresql://h/db?user=u&password=p%40&sslmode=require",
            "postgresql://h/db?user=u&password=***&sslmode=require",
        ),
        ("postgresql://h/db?sslpassword=p", "postgresql://h/db?sslpassword=***"),
        ("host=h PASSWORD=p", "host=h PASSWORD=***"),
        ("u:p@h", "u:***@h"),
        ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
        ("sqlite:////var/lib/a.db", "sqlite:////var/lib/a.db"),
        ("memory://", "memory://"),
    ],
)
def test_passwords_are_hidden(url: str, shown: str) -> None:
    assert redact(url) == shown


def test_a_store_is_not_in_the_settings_representation() -> None:
    assert "secret" not in repr(Settings(store="postgresql://u:secret@h/db"))
