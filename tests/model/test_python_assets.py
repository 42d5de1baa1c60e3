"""Python assets are found in the syntax tree: nothing of the user's runs."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from modellab import Parse, told

from headrace import Context, asset
from headrace.model import Declared, PythonBody


def _python(parse: Parse, text: str) -> Declared:
    return parse("assets/orders.py", textwrap.dedent(text))


def _bodies(declared: Declared) -> list[PythonBody]:
    return [asset.body for asset in declared.assets if isinstance(asset.body, PythonBody)]


@pytest.mark.parametrize(
    ("imports", "decorator"),
    [
        ("from headrace import asset", "asset"),
        ("from headrace import asset as a", "a"),
        ("import headrace", "headrace.asset"),
        ("import headrace as h", "h.asset"),
        ("from headrace.model.authoring import asset", "asset"),
        ("try:\n    from headrace import asset\nexcept ImportError:\n    pass", "asset"),
    ],
)
def test_the_decorator_is_found_under_any_name(parse: Parse, imports: str, decorator: str) -> None:
    """An asset that isn't found is a table that never comes."""
    declared = parse(
        "assets/orders.py", f"{imports}\n\n@{decorator}(owner='core')\ndef top(ctx):\n    pass\n"
    )
    assert declared.problems == ()
    assert [result.name for result in declared.assets] == ["top"]


def test_other_decorators_of_that_name_arent_ours(parse: Parse) -> None:
    """Other libraries have an `asset`, too: beside one of ours it is theirs; alone in a file it is
    a mistake of who comes from there.
    """
    theirs = "import dagster\n\n@dagster.asset(owner='core')\ndef top(ctx):\n    pass\n"
    ours = "\nfrom headrace import asset\n\n@asset(owner='core')\ndef mine(ctx):\n    pass\n"
    both = parse("assets/orders.py", theirs + ours)
    assert ([item.name for item in both.assets], both.problems) == (["mine"], ())
    alone = parse("assets/orders.py", theirs)
    assert (alone.assets, [problem.code for problem in alone.problems]) == ((), ["asset_not_found"])


def test_nothing_of_the_file_is_run(parse: Parse, tmp_path: Path) -> None:
    """`validate` on somebody else's project must be safe."""
    mark = tmp_path / "ran"
    declared = parse(
        "assets/orders.py",
        f"from headrace import asset\nopen({str(mark)!r}, 'w')\n1 / 0\n\n@asset(owner='core')\ndef"
        " top(): pass\n",
    )
    assert len(declared.assets) == 1
    assert not mark.exists()


def test_containers_context_and_inputs(parse: Parse) -> None:
    """What the function asks for decides what a worker gives it."""
    declared = _python(
        parse,
        """
        from __future__ import annotations
        import pandas, duckdb as d
        import polars as pl
        from polars import DataFrame as Frame
        import pyarrow as pa
        from headrace import asset, Context

        @asset(owner="core", partition="day", inputs=["a", "b", "c", "d1", "e", "f", "g"])
        def top(run: Context, a, b: pl.LazyFrame, c: Frame, d1: d.DuckDBPyRelation,
                e: pandas.DataFrame | None, f: "pa.Table", *, g: "pl.LazyFrame" = None):
            ...
        """,
    )
    assert told(declared.problems) == []
    (body,) = _bodies(declared)
    assert body.takes_context
    assert (body.function, body.line) == ("top", 10)
    assert body.annotations == {
        "a": "arrow",
        "b": "polars_lazy",
        "c": "polars",
        "d1": "duckdb",
        "e": "pandas",
        "f": "arrow",
    }


def test_parameters_with_a_default_need_no_input(parse: Parse) -> None:
    """Catches: an input taken for optional, or a default that has to be an input."""
    code = (
        "from headrace import asset\n\n@asset(owner='core', inputs=['a', 'c'])\n"
        "def x(a, b=1, *, c, d: int = 2): ...\n"
    )
    declared = parse("assets/orders.py", code)
    assert declared.problems == ()
    (found,) = declared.assets
    assert [spec.node for spec in found.inputs] == ["a", "c"]
    (problem,) = parse("assets/orders.py", code.replace("b=1", "b")).problems
    assert (problem.code, problem.place.line) == ("inputs_mismatch", 4)


def test_without_inputs_the_parameters_name_them(parse: Parse) -> None:
    declared = _python(
        parse, "from headrace import asset\n@asset(owner='core')\ndef top(ctx, a, b): ...\n"
    )
    assert [spec.node for spec in declared.assets[0].inputs] == ["a", "b"]


@pytest.mark.parametrize(
    ("code", "problem", "hint"),
    [
        (
            "@asset(owner='core', inputs=['orders'])\ndef top(ctx, order): ...",
            "inputs_mismatch:3",
            "did you mean `orders`?",
        ),
        (
            "@asset(owner='core', inputs=['a'])\ndef top(context, a): ...",
            "inputs_mismatch:3",
            "call it `ctx`, or annotate it with `Context`",
        ),
        (
            "@asset(owner='core', inputs=['a'])\ndef top(a, *rest): ...",
            "inputs_mismatch:3",
            "write a parameter for each input",
        ),
        (
            "@asset(owner='core', inputs=['a'])\ndef top(a, /): ...",
            "inputs_mismatch:3",
            "take `/` out of the parameters",
        ),
        ("@asset(owner='core', inputs=['a'])\ndef top(a: list): ...", "unknown_container:3", None),
        ("TEAM = ''.join('core')\n@asset(owner=TEAM)\ndef top(): ...", "not_a_literal:3", None),
        ("@asset(owner=f'core')\ndef top(): ...", "not_a_literal:2", None),
        ("@asset(owner='core', **{})\ndef top(): ...", "not_a_literal:2", None),
        ("@asset('core')\ndef top(): ...", "not_a_literal:2", None),
        (
            "@asset(owner='core',\n  parameters={'a': 1,\n 'b': len('x')})\ndef top(): ...",
            "not_a_literal:4",
            None,
        ),
        (
            "@asset(owner='core', parameters={'a': 1, 'a': 2})\ndef top(): ...",
            "not_a_literal:2",
            None,
        ),
        ("@asset(owner='\\ud800')\ndef top(): ...", "not_a_literal:2", None),
        ("@asset\ndef top(): ...", "missing_field:2", None),
        (
            "@asset(owner='core', ownr='x')\ndef top(): ...",
            "unknown_field:2",
            "did you mean `owner`?",
        ),
        ("@asset(owner='core')\nasync def top(): ...", "asset_not_found:3", "write `def`"),
        ("if True:\n    @asset(owner='core')\n    def top(): ...", "asset_not_found:4", None),
        ("class A:\n    @asset(owner='core')\n    def top(self): ...", "asset_not_found:4", None),
        ("def top(:", "python_syntax:2", None),
        ("x = " + "(" * 500 + ")" * 500, "python_syntax:2", None),
        ("x = " + "-" * 100_000 + "1", "python_syntax:1", None),
        (
            "x = " + "a." * 20_000 + "b\n@asset(owner='core')\ndef top(): ...",
            "python_syntax:1",
            None,
        ),
        ("@asset(owner='core')\ndef main(): ...", "reserved_name:3", None),
    ],
)
def test_what_cant_be_an_asset_is_said_at_its_line(
    parse: Parse, code: str, problem: str, hint: str | None
) -> None:
    declared = parse("assets/orders.py", f"from headrace import asset\n{code}\n")
    assert [f"{problem.code}:{problem.place.line}" for problem in declared.problems][:1] == [
        problem
    ]
    assert hint in (None, declared.problems[0].hint)
    assert declared.problems[0].hint


BASE = """
from headrace import asset
FACTOR = 2
def helper(x): return x * FACTOR

@asset(owner="core", inputs=["a"])
def top(a):
    return helper(a)

@asset(owner="core", inputs=["a"])
def other(a):
    return a
"""


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("return helper(a)", "return  helper( a )  # the same", {}),
        ("def top(a):", 'def top(a):\n    """What it does."""', {}),
        ("\nfrom headrace", '\n"""The module."""\nfrom headrace', {}),
        ("FACTOR = 2", "FACTOR = 3", {"top", "other"}),
        ("return helper(a)", "return helper(a) or None", {"top"}),
        ("def top(a):", "def top(a):\n    x = ''", {"top"}),
        (
            '@asset(owner="core", inputs=["a"])\ndef top',
            '@asset(owner="core", inputs=["a"], tags=["x"])\ndef top',
            {},
        ),
        ("\n    return a\n", "\n    return a + 1\n", {"other"}),
        ("def helper(x)", "@cache\ndef helper(x)", {"top", "other"}),
    ],
)
def test_the_fingerprint_changes_with_the_code_and_with_nothing_else(
    parse: Parse, old: str, new: str, changed: set[str]
) -> None:
    """A comment must not rebuild a year; a changed helper must not go unnoticed; another asset of
    the module isn't this one."""
    assert old in BASE
    before = {body.function: body.source for body in _bodies(parse("assets/orders.py", BASE))}
    after = {
        body.function: body.source
        for body in _bodies(parse("assets/orders.py", BASE.replace(old, new)))
    }
    differing = {name for name in before if before[name] != after[name]}
    assert differing == set(changed)


def test_the_decorator_marks_and_returns_the_function() -> None:
    """A decorated function can be called in the user's own tests."""

    @asset(owner="core")
    def top(ctx: Context) -> str:
        return ctx.partition

    assert top(Context(asset="top", partition="2013-02-11")) == "2013-02-11"


def test_ten_thousand_assets_in_a_module(parse: Parse) -> None:
    """A generated module must not take quadratic time."""
    code = "from headrace import asset\n" + "".join(
        f"@asset(owner='core')\ndef a{i}(ctx):\n    return None\n" for i in range(3000)
    )
    assert len(parse("assets/orders.py", code).assets) == 3000
