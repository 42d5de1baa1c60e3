"""`[openlineage]` of headrace.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from modellab import Parse, told

pytest.importorskip("headrace_observe")

PROJECT = "[project]\nname = 'a'\n[openlineage]\n"
URL = "https://collector.example.com:5000/api/v1/lineage?x=1"


def test_where_events_go(parse: Parse) -> None:
    """What is declared isn't what is used."""
    declared = parse(
        "headrace.toml", f"{PROJECT}url = '{URL}'\ntoken = 'secret://env/T'\nnamespace = 'acme'\n"
    )
    assert declared.settings is not None
    assert declared.settings.openlineage == {
        "url": URL,
        "token": "secret://env/T",
        "namespace": "acme",
    }


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("url = 'ftp://x/y'", "wrong_value headrace.toml:4"),
        ("url = 'http://'", "wrong_value headrace.toml:4"),
        ("url = 'http://x y/'", "wrong_value headrace.toml:4"),
        ("file = '../x'", "bad_path headrace.toml:4"),
        ("file = 'a'\nurl = 'http://x'", "conflicting_fields headrace.toml:3"),
        ("namespace = 'x'", "conflicting_fields headrace.toml:3"),
        ("file = 'a'\npath = 'x'", "unknown_field headrace.toml:5"),
        ("url = 'http://x'\ntoken = 'literally'", "literal_secret headrace.toml:5"),
        ("url = 'http://me:word@x/'", "literal_secret headrace.toml:4"),
        ("url = 3", "wrong_type headrace.toml:4"),
    ],
    ids=[
        "scheme",
        "no-host",
        "space",
        "outside",
        "both",
        "neither",
        "unknown",
        "token",
        "password",
        "number",
    ],
)
def test_what_cant_be_sent_to_is_a_problem_with_a_line(
    parse: Parse, said: str, problem: str
) -> None:
    """A typing error ends in a traceback of a thread, or in silence."""
    assert problem in told(parse("headrace.toml", f"{PROJECT}{said}\n").problems)


def test_reading_the_settings_looks_for_no_package(tmp_path: Path) -> None:
    """Would catch: commands that take 16 to 40 ms longer, or end, for a package that only the
    leader needs."""
    (tmp_path / "headrace.toml").write_text(f"{PROJECT}file = 'events.jsonl'\n")
    code = (
        "import sys; from pathlib import Path; from headrace.project.session import _settings\n"
        "sys.modules['importlib.metadata'] = None\n"
        "assert _settings(Path(sys.argv[1])).openlineage"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
