"""What a change of the files changes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from projects import OWNERS, SETTINGS, compiled, source, sql, write

from headrace.plan import ChangeKind, Compiled, changes

BASE = {
    "sources/s.yaml": source("s"),
    "assets/a.sql": sql("select 1 as x, 'y' as y", checks="[{not_null: [x]}]"),
    "assets/b.sql": sql("select x from a where x > $threshold", inputs="[a]"),
    "assets/p.py": (
        'from headrace import asset\n\n@asset(owner="core", inputs=["a"])\ndef p(a):\n   '
        " return a\n"
    ),
    "consumers.yaml": "- consumer: c\n  owner: core\n  reads: [b]\n  due: '07:00'\n",
}


def _changed(tmp_path: Path, **files: str) -> list[tuple[str, str, bool]]:
    before = compiled(write(tmp_path / "before", BASE))
    after = compiled(
        write(
            tmp_path / "after",
            {**BASE, **{path.replace("__", "/"): text for path, text in files.items()}},
        )
    )
    return [(change.node, change.change.value, change.stale) for change in changes(before, after)]


def test_everything_is_added_to_nothing(tmp_path: Path) -> None:
    result = changes(None, compiled(write(tmp_path, BASE)))
    assert {item.node for item in result} == {"s", "a", "b", "p", "c"} and {
        one.change for one in result
    } == {ChangeKind.ADDED}


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "assets/a.sql",
            "\n\n" + sql("-- why\nSELECT  1 AS x,\n 'y' as y", checks="[{not_null: [x]}]"),
            [],
        ),
        (
            "assets/a.sql",
            sql("select 2 as x, 'y' as y", checks="[{not_null: [x]}]"),
            [("a", "body", True)],
        ),
        (
            "assets/a.sql",
            sql("select 1 as x, 'y' as y", checks="[{not_null: [x, y]}]"),
            [("a", "checks", False)],
        ),
        (
            "assets/a.sql",
            sql("select 1 as x, 'y' as y", checks="[{not_null: [x]}]", description="hello"),
            [("a", "metadata", False)],
        ),
        (
            "assets/b.sql",
            sql("select x from a where x > $threshold", inputs="[{a: all}]"),
            [("b", "body", True)],
        ),
        ("assets/p.py", BASE["assets/p.py"].replace("\n\n", "\n# a remark\n"), []),
        (
            "assets/p.py",
            BASE["assets/p.py"].replace("return a", "return a + a"),
            [("p", "body", True)],
        ),
        (
            "consumers.yaml",
            BASE["consumers.yaml"].replace("07:00", "09:00"),
            [("c", "promise", False)],
        ),
        ("consumers.yaml", BASE["consumers.yaml"].replace("[b]", "[a]"), [("c", "promise", False)]),
        ("sources/s.yaml", source("s") + "expect: {by: '05:00'}\n", [("s", "promise", False)]),
        ("sources/s.yaml", source("s").replace("landing", "arrivals"), [("s", "body", False)]),
        ("owners.yaml", OWNERS.replace("core@", "team@"), [("owners.yaml", "metadata", False)]),
        (
            "headrace.toml",
            SETTINGS.replace("15", "16"),
            [("b", "body", True), ("headrace.toml", "metadata", False), ("p", "body", True)],
        ),
        ("assets/new.sql", sql("select 1 as n"), [("new", "added", False)]),
    ],
)
def test_changes(
    tmp_path: Path, path: str, text: str, expected: list[tuple[str, str, bool]]
) -> None:
    """What counts as a change of the body asks people to rebuild; layout and remarks never may."""
    assert sorted(_changed(tmp_path, **{path: text})) == sorted(expected)


def test_a_changed_input_changes_the_schema_of_what_copies_it(tmp_path: Path) -> None:
    """`select *` has another result though its own text is the same: its table's columns change
    with it.
    """
    before = compiled(
        write(
            tmp_path / "1",
            {"assets/a.sql": sql("select 1 as x"), "assets/b.sql": sql("select * from a")},
        )
    )
    after = compiled(
        write(
            tmp_path / "2",
            {"assets/a.sql": sql("select 1 as x, 2 as z"), "assets/b.sql": sql("select * from a")},
        )
    )
    assert [
        (change.node, change.change, change.columns, change.stale)
        for change in changes(before, after)
    ] == [
        ("a", ChangeKind.BODY, ("z",), True),
        ("b", ChangeKind.SCHEMA, ("z",), False),
    ]


def test_removed_nodes_are_named(tmp_path: Path) -> None:
    before = compiled(write(tmp_path / "1", BASE))
    fewer = {path: text for path, text in BASE.items() if path != "assets/p.py"}
    result = changes(before, compiled(write(tmp_path / "2", fewer)))
    assert [(item.node, item.change) for item in result] == [("p", ChangeKind.REMOVED)]


def test_what_is_applied_can_be_kept_and_read_back(tmp_path: Path) -> None:
    """The store keeps the compiled project as bytes: a field that doesn't come back would be a
    change for ever."""
    result = compiled(write(tmp_path, BASE))
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=Compiled)
    assert back == result and changes(back, result) == []
