"""`[openlineage]` of headrace.toml."""

from __future__ import annotations

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
