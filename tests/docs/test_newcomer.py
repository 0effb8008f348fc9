"""scripts/newcomer.py, which follows README.md in CI: what a reader types, and what pip is configured with."""

import os
from pathlib import Path

import pytest

from scripts.newcomer import Newcomer, blocks, commands, pip_configuration

PAGE = """
```sh
make run       # serves
. here/activate
```

```console
$ touch came
came
$ test -e came
```

```python
import pathlib

pathlib.Path("python-came").touch()
```
"""


def test_what_a_page_has_a_reader_type() -> None:
    typed = [command for language, block in blocks(PAGE) for command in commands(language, block)]
    assert typed == ["make run", ". here/activate", "touch came", "test -e came"]


def test_commands_run_with_nothing_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    newcomer = Newcomer(tmp_path, tmp_path)
    newcomer.type('test -z "$SECRET" && test "$HOME" = "$PWD" && touch came')
    assert (tmp_path / "came").exists()


def test_a_command_that_fails_ends_it(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="returned non-zero exit status 3"):
        Newcomer(tmp_path, tmp_path).type("exit 3")


def test_a_configured_package_index_is_kept(tmp_path: Path) -> None:
    """From files in the home directory and from variables, which win."""
    home = tmp_path / "home"
    (home / ".pip").mkdir(parents=True)
    (home / ".pip" / "pip.conf").write_text("[global]\nindex-url = https://index.test/%7Efile\ntimeout = 5\n")
    named = tmp_path / "pip.conf"
    named.write_text("[install]\nno-compile = true\n")
    environment = {
        "PIP_INDEX_URL": "https://index.test/variable",
        "PIP_CONFIG_FILE": str(named),
        "https_proxy": "http://proxy.test:3128",
        "OTHER": os.devnull,
    }
    config = pip_configuration(environment, home)
    assert dict(config["global"]) == {
        "index-url": "https://index.test/variable",
        "timeout": "5",
        "proxy": "http://proxy.test:3128",
    }
    assert dict(config["install"]) == {"no-compile": "true"}
