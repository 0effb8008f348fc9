"""scripts/check_prose.py, which `make lint` runs over every page, and over packages of the server."""

import pytest

from scripts.check_prose import code_prose, findings, sources


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Start it anew.", [(1, "anew")]),
        ("First.\nThe greatest so\nmany ids stay.", [(2, "so many ")]),
        ("Watchers are told of it.", [(1, "are told")]),
        ("It tells which nodes ran.", [(1, "tells which")]),
        ("Wanted are at most two.", [(1, "Wanted are")]),
    ],
)
def test_phrases_are_found_with_their_lines(text: str, found: list[tuple[int, str]]) -> None:
    assert [(line, phrase) for line, phrase, _ in findings(text)] == found


@pytest.mark.parametrize(
    "text",
    [
        "Nothing to see.",
        "The code is `start_anew`.",
        "```console\n$ echo anew\n```",
        "[a page](docs/anew.md)",
        "It took so much that we stopped.",
        "A renewal.",
    ],
)
def test_code_and_plain_sentences_pass(text: str) -> None:
    assert list(findings(text)) == []


def test_strings_and_comments_of_code_are_checked() -> None:
    code = '''"""Starts it.

Then starts it anew.
"""
anew = f"the log {anew} is as far as it goes"  # whoever reads it
'''
    found = [(line, phrase) for line, phrase, _ in findings(code_prose(code))]
    assert found == [(3, "anew"), (5, "as far as"), (5, "whoever")]


def test_the_server_is_checked() -> None:
    assert {"planner.py", "committer.py", "save_worker.py"} <= {path.name for path in sources()}
