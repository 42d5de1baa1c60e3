"""Renames: the edit is all that a rename needs, and is refused where it can't be proved."""

from __future__ import annotations

from pathlib import Path

import pytest
from edited_shop import edited_shop
from editor import Editor, editing
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from headrace import Session
from headrace.compiler.compiling import compile_project
from headrace.model import ProblemLevel


def _compiled_columns(root: Path) -> dict[str, tuple[str, ...] | None]:
    compilation = compile_project(root)
    errors = [item for item in compilation.problems if item.level is ProblemLevel.ERROR]
    assert not errors
    assert compilation.compiled is not None
    return {name: node.column_names for name, node in compilation.compiled.nodes.items()}


def test_a_renamed_table_is_the_same_project_under_another_name(editor: Editor) -> None:
    """Would catch: a reader, a check, a test or a CTE's qualifier with the former name."""
    before = _compiled_columns(editor.root)
    editor.open("assets/best.sql")
    edit = editor.rename("assets/best.sql", "from cl|ean", "tidy")
    editor.apply(edit)
    after = _compiled_columns(editor.root)
    assert after.pop("tidy") == before.pop("clean")
    assert after == before
    assert (editor.root / "assets/tidy.sql").is_file()
    assert "clean.day" not in (editor.root / "assets/daily.sql").read_text()
    assert "asset: tidy" in (editor.root / "tests/clean.yaml").read_text()


def test_a_rename_comes_with_its_plan(editor: Editor) -> None:
    editor.open("assets/best.sql")
    edit = editor.rename("assets/best.sql", "from cl|ean", "tidy")
    assert edit.change_annotations is not None
    [plan] = edit.change_annotations.values()
    assert plan.needs_confirmation
    assert plan.description == (
        "clean becomes tidy in 4 files; downstream: best, daily, report; consumers: morning;"
        " owners: sales"
    )
    assert editor.messages == [plan.description]


def test_python_reads_the_new_name(editor: Editor) -> None:
    """Would catch: a function whose parameter isn't the input that it declares."""
    editor.open("assets/daily.sql")
    editor.open("assets/report.py")
    editor.apply(editor.rename("assets/report.py", 'inputs=["da|ily', "each_day"))
    assert (editor.root / "assets/report.py").read_text() == (
        "from headrace import asset\n\n\n"
        '@asset(owner="sales", partition="day", inputs=["each_day"])\n'
        "def report(each_day):\n"
        '    return each_day.select(["day", "revenue"])\n'
    )
    assert "reads: [each_day, best]" in (editor.root / "consumers.yaml").read_text()
    _compiled_columns(editor.root)


def test_a_source_takes_its_contract_with_it(editor: Editor) -> None:
    """Would catch: a source whose columns nobody knows any more."""
    before = _compiled_columns(editor.root)
    editor.open("assets/clean.sql")
    editor.apply(editor.rename("assets/clean.sql", "from ord|ers", "sold"))
    after = _compiled_columns(editor.root)
    assert after["sold"] == before["orders"]
    assert (editor.root / "contracts/sold.odcs.yaml").is_file()


def test_a_renamed_column_keeps_the_names_that_others_return(editor: Editor) -> None:
    """Would catch: a rename that goes on to every table downstream, and one that breaks them."""
    before = _compiled_columns(editor.root)
    editor.open("assets/clean.sql")
    editor.apply(editor.rename("assets/clean.sql", "as pri|ce", "cost"))
    after = _compiled_columns(editor.root)
    assert after.pop("clean") == ("order_id", "day", "customer", "cost")
    assert before.pop("clean") is not None
    assert after == before
    assert "cost as price" in (editor.root / "assets/best.sql").read_text()
    assert "cost > $threshold" in (editor.root / "assets/daily.sql").read_text()
    assert "cost: 2.0" in (editor.root / "tests/clean.yaml").read_text()


def test_an_applied_asset_keeps_its_history(tmp_path: Path) -> None:
    """Would catch: a rename whose plan is to remove a table and to add an empty one."""
    root = edited_shop(tmp_path)
    with Session(root) as session:
        session.apply(session.plan().plan_id or "")
    with editing(root) as editor:
        editor.open("assets/best.sql")
        edit = editor.rename("assets/best.sql", "from cl|ean", "tidy")
        editor.apply(edit)
    assert "renamed_from: clean" in (root / "assets/tidy.sql").read_text()
    with Session(root) as session:
        steps = [(step.kind, step.node) for step in session.plan().steps]
    assert ("rename", "tidy") in steps
    assert not [step for step in steps if step[0] == "retire"]
    assert [node for kind, node in steps if kind == "invalidate"] == ["best", "daily"]
    assert "`headrace plan` shows which tables become stale" in editor.messages[0]


@pytest.fixture
def open_editor(editor: Editor) -> Editor:
    for path in ("assets/best.sql", "assets/clean.sql", "assets/daily.sql", "consumers.yaml"):
        editor.open(path)
    return editor


@pytest.mark.parametrize(
    ("path", "around", "new", "reason"),
    [
        ("assets/best.sql", "from cl|ean", "daily", "`daily` is declared already"),
        ("assets/best.sql", "from cl|ean", "a-b", "is no name"),
        ("assets/best.sql", "from cl|ean", "order", "isn't one of the name alone"),
        ("assets/clean.sql", "as cust|omer", "price", "`price` is a name there already"),
        ("assets/clean.sql", "o.am|ount", "value", "the deliveries of a source name its columns"),
        ("assets/daily.sql", "as reve|nue", "money", "in the code of report, which isn't SQL"),
    ],
)
def test_a_rename_that_would_change_more_is_refused(
    open_editor: Editor, path: str, around: str, new: str, reason: str
) -> None:
    with pytest.raises(JsonRpcException, match=reason) as refused:
        open_editor.rename(path, around, new)
    assert refused.value.code == types.LSPErrorCodes.RequestFailed


def test_a_project_with_errors_isnt_renamed(editor: Editor) -> None:
    """Would catch: a rename that is taken for proved because everything is wrong anyway."""
    editor.open("assets/best.sql")
    editor.type("assets/best.sql", "customer, price", "customer, prise")
    with pytest.raises(JsonRpcException, match=r"errors, first in assets/best\.sql:6"):
        editor.rename("assets/best.sql", "from cl|ean", "tidy")


def test_an_editor_that_cant_move_files_is_told_so(tmp_path: Path) -> None:
    """Would catch: half of a rename in an editor that makes the other half by hand."""
    with editing(edited_shop(tmp_path), types.ClientCapabilities()) as editor:
        editor.open("assets/best.sql")
        editor.open("assets/clean.sql")
        with pytest.raises(JsonRpcException, match="this editor can't move files"):
            editor.rename("assets/best.sql", "from cl|ean", "tidy")
        edit = editor.rename("assets/clean.sql", "as pri|ce", "cost")
        assert edit.document_changes is None
        assert edit.changes is not None and len(edit.changes) == 4
