"""Every command and snippet of the site is run: here, or by a test that is named here. Those that are not say why."""

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import yaml

import lockstitch
from lockstitch_server.config import Settings
from scripts.newcomer import is_listened_on
from tests.adapters import guide
from tests.deploy import charts
from tests.docs.fences import Fence, fences
from tests.docs.test_http_page import CURL
from tests.packaging.test_lock_files import PROJECT
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.requirements import missing
from tests.support.server import LockstitchServer

TEXT = ("", "text", "mermaid")
"""Blocks of these languages are drawings, output and addresses."""
SHELL = ("sh", "console")
NOT_RUN = 11
"""How many blocks say that no test runs them."""
BY_OTHERS: dict[str, tuple[str, ...]] = {
    "tests/adapters/test_docs.py": ("langgraph.md python", "agent-framework.md python"),
    "tests/adapters/test_claude_agent_sdk.py": ("claude-agent-sdk.md python",),
    "tests/adapters/test_google_adk.py": ("google-adk.md python",),
    "tests/adapters/test_openai_agents.py": ("openai-agents.md python",),
    "tests/client/test_docs.py": ("clients/python.md python",),
    "tests/client_rust/test_docs.py": ("clients/rust.md rust",),
    "tests/polyglot/test_go.py": ("clients/go.md go",),
    "tests/polyglot/test_cpp.py": ("clients/other-languages.md cpp", "clients/other-languages.md sh"),
    "tests/docs/test_production_page.py": ("production.md sh",),
    "tests/docs/test_security_page.py": ("security.md console", "security.md python", "security.md toml"),
    "tests/docs/test_postgres_page.py": (
        "postgres-server.md sh",
        "postgres-server.md toml",
        "postgres-server.md python",
    ),
    "tests/docs/test_sqlite_page.py": ("sqlite-server.md sh", "sqlite-server.md toml", "sqlite-server.md python"),
    "tests/docs/test_http_page.py": ("http.md json", "http.md python"),
    "client/java/src/test/java/dev/lockstitch/GuideTest.java": ("clients/java.md java",),
    "client/typescript/test/guide.test.ts": ("clients/typescript.md ts", "langgraph-js.md ts"),
    "client/typescript/test/claude_agent_sdk/guide.test.ts": ("claude-agent-sdk.md ts",),
    "scripts/version.py": ("clients/java.md xml",),
}
"""A file that reads a page, and the page with the language of the blocks that it runs."""
HERE = {"py", "python", "json", "toml", "yaml", "sql", *SHELL}
CLAUDE_SDK = "@anthropic-ai/claude-agent-sdk"
"""It is not among the dependencies of the npm package: see client/typescript/test/claude_agent_sdk."""
WEAVEGRAPH = ROOT / "tests" / "fixtures" / "weavegraph" / "weavegraph.db"
LOCKSTITCH = str(Path(sys.executable).with_name("lockstitch"))
SECONDS = 120


def others() -> set[str]:
    return {each for blocks in BY_OTHERS.values() for each in blocks}


def ours(language: str) -> list[Fence]:
    """The blocks of a language that are run in this file."""
    found = [each for each in fences() if each.language == language and not each.reason]
    return [each for each in found if f"{each.page} {each.language}" not in others()]


def identified(found: list[Fence]) -> dict[str, Fence]:
    return {f"{each.page}:{each.line}": each for each in found}


def test_every_block_is_accounted_for() -> None:
    unknown = [
        each
        for each in fences()
        if each.language not in TEXT
        and not each.reason
        and each.language not in HERE
        and f"{each.page} {each.language}" not in others()
    ]
    assert unknown == []
    assert len([each for each in fences() if each.reason]) == NOT_RUN


@pytest.mark.parametrize("file", BY_OTHERS)
def test_the_files_that_run_blocks_read_their_pages(file: str) -> None:
    text = (ROOT / file).read_text()
    known = {f"{each.page} {each.language}" for each in fences()}
    for block in BY_OTHERS[file]:
        assert Path(block.split()[0]).name in text
        assert block in known, "the page has no such block any more"


# Blocks of shells: each command by its program.


@pytest.fixture
def server() -> Iterator[LockstitchServer]:
    """One with the sessions that pages name."""
    with LockstitchServer() as running:
        run(["lockstitch", "import", "weavegraph", str(WEAVEGRAPH)], ROOT, running.target)
        with lockstitch.Client(running.target) as client:
            for name in ("start", "readme", "run-7"):
                client.thread(name).save({"messages": [{"role": "user", "content": "hello"}]})
        yield running


@pytest.fixture
def directory(tmp_path: Path, server: LockstitchServer) -> Path:
    """Where a reader stands: with a store, backups of it, and the databases of others to import."""
    with closing(sqlite3.connect(server.store.removeprefix("sqlite:///"))) as source:
        for name in ("lockstitch.db", "backup.db"):
            with closing(sqlite3.connect(tmp_path / name)) as copy:
                source.backup(copy)
    shutil.copy(WEAVEGRAPH, tmp_path)
    shutil.copy(ROOT / "tests/fixtures/langgraph/sqlite-3.1.2.db", tmp_path / "threads.db")
    return tmp_path


def run(arguments: list[str], directory: Path, target: str, **more: str) -> str:
    arguments = [LOCKSTITCH if word == "lockstitch" else word for word in arguments]
    environment = {**os.environ, "LOCKSTITCH_TARGET": target, **more}
    done = subprocess.run(arguments, cwd=directory, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


def serves(arguments: list[str], directory: Path, environment: Mapping[str, str], address: str) -> None:
    """Run a command that serves until something listens at its address, and end it."""
    log = directory / "serving.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            arguments, cwd=directory, env={**os.environ, **environment}, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not is_listened_on(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(SECONDS)


def check_install(words: list[str]) -> None:
    """Packages by their names: what is in them is tested with the release."""
    extras = PROJECT["project"]["optional-dependencies"]
    package = json.loads((ROOT / "client/typescript/package.json").read_text())
    for word in words[2:]:
        if words[0] == "pip":
            name, _, chosen = word.partition("[")
            assert name in (PROJECT["project"]["name"], "buf-bin")
            assert set(filter(None, chosen.removesuffix("]").split(","))) <= extras.keys()
        elif words[0] == "npm":
            assert word in {package["name"], CLAUDE_SDK, *package["peerDependencies"], *package["devDependencies"]}
        else:
            assert f"module {word}\n" in (ROOT / "client/go/go.mod").read_text()


def type_command(command: str, directory: Path, target: str) -> str:
    """What a command prints. Those that serve do so at addresses of their own."""
    address = f"127.0.0.1:{free_port()}"
    words = shlex.split(command)
    environment = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    words = words[len(environment) :]
    if words[:2] in (["pip", "install"], ["npm", "install"], ["go", "get"]):
        check_install(words)
    elif words[:2] == ["lockstitch", "serve"]:
        free = [re.sub(r"^127\.0\.0\.1:\d+$", f"127.0.0.1:{free_port()}", word) for word in words[2:]]
        serves([LOCKSTITCH, "serve", *free, "--listen", address], directory, environment, address)
    elif words[:2] == ["lockstitch", "ui"]:
        serves([LOCKSTITCH, "ui", "--target", target, "--listen", address], directory, {}, address)
    elif words[0] == "h2corn":
        program = str(Path(LOCKSTITCH).with_name("h2corn"))
        serves([program, *words[1:], "--bind", address], directory, {"LOCKSTITCH_STORE": "memory://"}, address)
    elif words[0] == "curl":
        assert command in CURL, "tests/docs/test_http_page.py sends the calls of its page"
    elif "|" in words:
        if not shutil.which("jq"):
            missing("there is no jq: apt-get install jq")
        path = f"{Path(LOCKSTITCH).parent}:{os.environ['PATH']}"
        return run(["bash", "-o", "pipefail", "-c", command], directory, target, PATH=path)
    else:
        assert words[0] == "lockstitch", f"nobody runs {words[0]}"
        return run(words, directory, target, **environment)
    return ""


SHELL_BLOCKS = identified([each for language in SHELL for each in ours(language)])


NEED_NOTHING = ("pip ", "npm ", "go ", "curl ", "h2corn ", "lockstitch serve", "lockstitch keys")
"""Commands that need neither a server with sessions nor a store."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SHELL_BLOCKS)
def test_commands_run(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    fence = SHELL_BLOCKS[name]
    directory, target, printed = tmp_path, "127.0.0.1:1", ""
    if not all(re.sub(r"^([A-Z_]+=\S+ )*", "", line).startswith(NEED_NOTHING) for line in fence.commands):
        directory, target = request.getfixturevalue("directory"), request.getfixturevalue("server").target
    for line in fence.commands:
        if "postgresql://" in line:
            url = request.getfixturevalue("postgres_url")
            run(["lockstitch", "migrate", "--store", url], directory, target)
            line = re.sub(r"postgresql://\S+", url, line)
        for command in line.split(" && "):
            printed += type_command(command, directory, target)
    if "import weavegraph" in fence.text:  # the sessions are there already
        assert printed.partition(":")[0] == fence.output[0].partition(":")[0]


# Blocks of files: read by what reads them.


TOML = identified(ours("toml"))


@pytest.mark.parametrize("name", TOML)
def test_settings_are_settings(name: str) -> None:
    content = tomllib.loads(TOML[name].text)
    if name.startswith("clients/rust.md"):
        names = content.get("dependencies", content)
        assert "lockstitch" in names
        features = tomllib.loads((ROOT / "client/rust/Cargo.toml").read_text())["features"]
        found = names["lockstitch"]
        assert found == "0.1" or set(found["features"]) <= features.keys()
    else:
        Settings.model_validate(content)  # raises, if it knows no such setting


YAML = identified(ours("yaml"))


@pytest.mark.parametrize("name", YAML)
def test_values_and_probes_are_those_of_kubernetes(name: str) -> None:
    content = yaml.safe_load(YAML[name].text)
    if name.startswith("deployment.md"):
        assert charts.server_pod(charts.render(content))
        return
    (container, *_) = charts.server_pod(charts.rendered(charts.VALUES[0]))["spec"]["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        assert content[probe]["grpc"].get("service") == container[probe]["grpc"].get("service")


def test_excerpts_are_in_their_files() -> None:
    example = ROOT / "examples" / "agent_server"
    (excerpt,) = [each for each in ours("py") if each.page == "langgraph.md"]
    assert excerpt.text in (example / "agent.py").read_text()
    (config,) = [each for each in ours("json") if each.page == "langgraph.md"]
    assert json.loads(config.text).items() <= json.loads((example / "langgraph.json").read_text()).items()


@pytest.mark.slow
def test_the_grants_are_enough(postgres_url: str, directory: Path, server: LockstitchServer) -> None:
    """The first is enough to migrate, the second to serve."""
    name = postgres_url.rpartition("/")[2].partition("?")[0]
    full, least = [each.text.replace("DATABASE agents", f"DATABASE {name}") for each in ours("sql")]
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        for grants, role in ((full, "fence_full"), (least, "fence_least")):
            admin.execute(f"DROP ROLE IF EXISTS {role}")
            admin.execute(f"CREATE ROLE {role} LOGIN")
            admin.execute(grants.replace(" TO app", f" TO {role}"))
            url = re.sub(r"//[^@/]*@", f"//{role}@", postgres_url)
            options = ["--migrate"] if role == "fence_full" else []
            with LockstitchServer(url, options) as own, lockstitch.Client(own.target) as client:
                client.thread(f"granted to {role}").save({"messages": []})
        for role in ("fence_full", "fence_least"):
            admin.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
            admin.execute(f"DROP OWNED BY {role}")
            admin.execute(f"DROP ROLE {role}")


PYTHON = sorted({each.page for each in ours("python")})


@pytest.mark.parametrize("page", PYTHON)
def test_python_runs(page: str, server: LockstitchServer, capsys: pytest.CaptureFixture[str]) -> None:
    guide.run(ROOT / "docs" / page, server.target)
    printed = capsys.readouterr().out
    assert printed or page == "langgraph-js.md"
