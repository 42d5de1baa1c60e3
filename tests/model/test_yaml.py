"""The YAML reader: 1.2 scalars, lines, and nothing that explodes."""

from __future__ import annotations

import time

import pytest

from headrace.model import parsing
from headrace.model.errors import Report
from headrace.model.fields import Items, LocatedMapping, plain


def _load(text: str) -> tuple[object, list[str]]:
    report = Report("x.yaml")
    return parsing.load_yaml(text, report), [
        f"{problem.code}:{problem.place.line}" for problem in report.problems
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("07:00", "07:00"),
        ("2013-02-11", "2013-02-11"),
        ("1_000", "1_000"),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", float("inf")),
        ("1.2.3", "1.2.3"),
        ("+1d", "+1d"),
        ("'12'", "12"),
        ('"no"', "no"),
        ("99999999999999999999", "99999999999999999999"),
        ("9" * 5000, "9" * 5000),
        ("1..2", "1..2"),
        ("500..1500", "500..1500"),
        (".", "."),
    ],
)
def test_scalars_are_those_of_yaml_1_2(written: str, meant: object) -> None:
    """Norway, times of day, dates and sexagesimal numbers must stay what was written."""
    document, problems = _load(f"a: {written}\n")
    assert problems == []
    assert isinstance(document, LocatedMapping)
    assert document["a"] == meant
    assert type(document["a"]) is type(meant)


def test_each_key_and_item_knows_its_line() -> None:
    """A problem that points at the wrong line costs its reader minutes."""
    document, _ = _load("a: 1\nb:\n  - x\n  - y: 2\n    z: 3\nc: {d: 4,\n  e: 5}\n")
    assert isinstance(document, LocatedMapping)
    assert document.lines == {"a": 1, "b": 2, "c": 6}
    assert isinstance(document["b"], Items)
    assert document["b"].lines == [3, 4]
    assert document["b"][1].lines == {"y": 4, "z": 5}
    assert document["c"].lines == {"d": 6, "e": 7}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", "yaml_duplicate_key:3"),
        ("a: {b: 1, b: 2}\n", "yaml_duplicate_key:1"),
        ("a:\n\tb: 1\n", "yaml_tab:2"),
        ("a: 1\n b: 2\n", "yaml_syntax:2"),
        ("a: [1, 2\n", "yaml_syntax:2"),
        ("a: 'x\n", "yaml_syntax:2"),
        ("a: !!python/name:os.system x\n", "yaml_tag:1"),
        ("a: !include x\n", "yaml_tag:1"),
        ("a: 1\n---\nb: 2\n", "yaml_syntax:2"),
        ("? [a]\n: 1\n", "yaml_key:1"),
        ("'': 1\n", "yaml_key:1"),
        ("a: *x\n", "yaml_syntax:1"),
        ("a: &x [*x]\n", "yaml_syntax:1"),
        ("a: &x 1\n*x : 2\n", "yaml_key:2"),
        ('a: "\\0"\n', "not_text:1"),
        ("[" * 100 + "\n", "yaml_too_deep:1"),
        ("%YAML 9.9\n---\na: 1\n", "yaml_syntax:1"),
    ],
)
def test_what_cant_be_read_is_said_with_its_line(text: str, problem: str) -> None:
    """Each kind of bad YAML gets one problem, at the place where it is."""
    assert _load(text)[1] == [problem]


def test_aliases_work_within_the_limit() -> None:
    document, problems = _load("a: &x {b: 1}\nc: *x\nd: [*x, *x]\n")
    assert problems == []
    assert plain(document) == {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, {"b": 1}]}


def test_a_bomb_is_refused_at_once() -> None:
    """B20. Ten levels of ten aliases are ten billion values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    began = time.process_time()
    assert _load("\n".join(lines))[1] == ["yaml_too_many_values:5"]
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "{a: " * 200_000,
        "- " * 400_000,
        "? " * 400_000,
        "a: " + "&a " * 100_000,
        "x" * 1_000_000,
        "'" * 999_999,
        "a:\n" * 300_000,
    ],
)
def test_hostile_megabytes_end_in_a_moment(text: str) -> None:
    """A file of a megabyte must neither overflow the stack nor take quadratic time."""
    began = time.process_time()
    _load(text)
    assert time.process_time() - began < 5
