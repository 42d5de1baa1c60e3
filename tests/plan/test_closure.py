"""Which files an asset's code uses: a file that is missed runs unseen, one too many only shows a
change that concerns nobody.
"""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from headrace.compiler.code_files import CodeSeen, CodeTree, code_unchanged
from headrace.compiler.installed import current_environment, installed_versions
from headrace.model import Asset, CommandBody, Place, ProblemLevel, PythonBody
from headrace.plan import closure
from headrace.plan import compiled as used_code
from headrace.plan.compiled import (
    Code,
    CodeFile,
    Use,
    changed_files,
    code_closure,
    code_digests,
)


def project(root: Path, files: dict[str, str]) -> CodeTree:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return tree(root)


def tree(root: Path) -> CodeTree:
    return CodeTree(root, lambda path: (root / path).read_bytes())


def python(file: str = "assets/a.py", **more: tuple[str, ...]) -> Asset:
    return Asset(
        name="a",
        owner="o",
        body=PythonBody(file=file, function="a", line=4),
        place=Place(file=file),
        **more,
    )


def command(*words: str) -> Asset:
    return Asset(
        name="a",
        owner="o",
        body=CommandBody(command=words, file="assets/a.yaml"),
        place=Place(file="assets/a.yaml"),
    )


def used(root: Path, files: dict[str, str], asset: Asset | None = None) -> list[str]:
    asset = asset or python()
    code, _ = closure.find([asset], project(root, files))
    return sorted(
        link.path
        for link in used_code.code_closure(code, "a")
        if link.path != used_code.own_file(asset)
    )


LIBRARY = {
    "lib/__init__.py": "",
    "lib/rates.py": "",
    "lib/deep/__init__.py": "",
    "lib/deep/tax.py": "",
    "lib/other.py": "",
}
INIT, RATES, DEEP, TAX = (
    "lib/__init__.py",
    "lib/rates.py",
    "lib/deep/__init__.py",
    "lib/deep/tax.py",
)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import lib", [INIT]),
        ("import lib.rates", [INIT, RATES]),
        ("import lib.rates as r", [INIT, RATES]),
        ("import json, lib.rates", [INIT, RATES]),
        ("from lib import rates", [INIT, RATES]),
        ("from lib import rates as r, other as o", [INIT, "lib/other.py", RATES]),
        ("from lib.rates import rate", [INIT, RATES]),
        ("from lib.deep.tax import *", [INIT, DEEP, TAX]),
        ("from lib import name_in_init", [INIT]),
        ("from lib.deep import tax", [INIT, DEEP, TAX]),
        ("def f():\n    from lib import rates", [INIT, RATES]),
        ("try:\n    import fast\nexcept ImportError:\n    import lib.rates as fast", [INIT, RATES]),
        ("if True:\n    pass\nelse:\n    import lib.rates", [INIT, RATES]),
        ("match 1:\n    case 1:\n        import lib.rates", [INIT, RATES]),
        ("f = lambda: __import__('lib.rates')", [INIT, RATES]),
        ("import importlib\nimportlib.import_module('lib.rates')", [INIT, RATES]),
        (
            "from importlib import import_module as load\nload('.tax', 'lib.deep')",
            [INIT, DEEP, TAX],
        ),
        ("import importlib\nimportlib.import_module(f'lib.deep.{1}')", [INIT, DEEP, DEEP, TAX]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lib.rates", []),
        ("import pandas as pd, numpy", []),
        ("import json", []),
        ("import neighbour", ["assets/neighbour.py"]),
        ("from . import neighbour", ["assets/neighbour.py"]),
        ("from .neighbour import x", ["assets/neighbour.py"]),
        ("from ..lib.rates import x", [INIT, RATES]),
        ("import space.one", ["space/one.py"]),
        ("import packaged.one", ["src/packaged/__init__.py", "src/packaged/one.py"]),
        ("from space import one", ["space/one.py"]),
        (
            "import sys\nsys.path.append('vendored')\nimport hidden_away",
            ["vendored/hidden_away.py"],
        ),
    ],
)
def test_an_import_is_followed(tmp_path: Path, statement: str, expected: list[str]) -> None:
    """Would catch: an import that a person writes every day and that changes what runs without
    being seen.
    """
    files = {
        **LIBRARY,
        "assets/a.py": f"{statement}\n",
        "assets/neighbour.py": "",
        "assets/json.py": "",  # Python's own comes first
        "space/one.py": "",  # a package without __init__.py
        "vendored/hidden_away.py": "",
        "src/packaged/__init__.py": "",
        "src/packaged/one.py": "",
    }
    assert used(tmp_path, files) == sorted(set(expected))


def test_imports_are_followed_from_file_to_file_and_in_circles(tmp_path: Path) -> None:
    """Would catch: only direct imports counting; an endless walk; relative imports taken for
    absolute ones."""
    files = {
        "assets/a.py": "from lib.one import f",
        "lib/__init__.py": "from . import boot",
        "lib/boot.py": "",
        "lib/one.py": "from .two import g\nfrom ..top import h",
        "lib/two.py": "from lib import one",
        "top.py": "",
    }
    assert used(tmp_path, files) == [
        "lib/__init__.py",
        "lib/boot.py",
        "lib/one.py",
        "lib/two.py",
        "top.py",
    ]
    code, problems = closure.find([python()], tree(tmp_path))
    via = {link.path: link.via for link in used_code.code_closure(code, "a")}
    assert via["assets/a.py"] == ""
    assert via["lib/one.py"] == "assets/a.py:1 from lib.one import f"
    assert (
        via["lib/two.py"] == "assets/a.py:1 from lib.one import f → lib/one.py:1 from .two import g"
    )
    assert problems == []


def test_the_packages_that_an_asset_lies_in_run_before_it(tmp_path: Path) -> None:
    """Would catch: a constant in `assets/__init__.py` that changes and nobody sees it."""
    files = {
        "assets/ops/a.py": "",
        "assets/__init__.py": "import base",
        "assets/ops/__init__.py": "",
        "base.py": "",
    }
    assert used(tmp_path, files, python("assets/ops/a.py")) == [
        "assets/__init__.py",
        "assets/ops/__init__.py",
        "base.py",
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "import importlib\nimportlib.import_module(name)",
        "from importlib import import_module\nx = list(map(import_module, names))",
        "__import__(name)",
        "exec(text)",
        "import runpy\nrunpy.run_path(path)",
        "from importlib.util import spec_from_file_location as s\ns('x', path)",
    ],
)
def test_what_cannot_be_followed_counts_its_whole_folder_and_is_said(
    tmp_path: Path, statement: str
) -> None:
    """Would catch: a plug-in that changes and nobody sees it."""
    files = {
        "assets/a.py": "import plugins",
        "plugins/__init__.py": statement,
        "plugins/one.py": "import two_steps",
        "plugins/sub/two.py": "",
        "two_steps.py": "",
        "elsewhere.py": "",
    }
    assert used(tmp_path, files) == [
        "plugins/__init__.py",
        "plugins/one.py",
        "plugins/sub/two.py",
        "two_steps.py",
    ]
    _, problems = closure.find([python()], tree(tmp_path))
    assert [(problem.code, problem.level, problem.place.file) for problem in problems] == [
        ("code_not_followed", ProblemLevel.WARNING, "plugins/__init__.py")
    ]
    assert "plugins/" in problems[0].message


def test_a_helper_that_is_not_python_is_followed_as_far_as_it_goes(tmp_path: Path) -> None:
    """Would catch: a syntax error in a module ending the command, or hiding the module's own
    change.
    """
    assert used(tmp_path, {"assets/a.py": "import broken", "broken.py": "def ("}) == ["broken.py"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("python", "jobs/score.py"), ["jobs/model.py", "jobs/score.py", "shared.py"]),
        (
            ("python", "./jobs/../jobs/score.py", "--fast"),
            ["jobs/model.py", "jobs/score.py", "shared.py"],
        ),
        (
            ("python3", "-m", "jobs.score"),
            ["jobs/score.py", "shared.py"],
        ),  # its neighbour is found by no such command
        (("python", "-c", "import shared"), ["shared.py"]),
        (("jobs/run.sh", "--config=jobs/settings.yaml"), ["jobs/run.sh", "jobs/settings.yaml"]),
        (("bash", "jobs/run.sh", "../outside.sh", "missing.sh"), ["jobs/run.sh"]),
        (("echo", "jobs"), []),
    ],
)
def test_a_command_uses_its_program_its_scripts_and_what_they_import(
    tmp_path: Path, words: tuple[str, ...], expected: list[str]
) -> None:
    """Would catch: a script that is edited and runs at once; a settings file that doesn't count."""
    files = {
        "jobs/score.py": "import model\nimport shared",
        "jobs/model.py": "",
        "shared.py": "",
        "jobs/run.sh": "echo",
        "jobs/settings.yaml": "a: 1",
    }
    (tmp_path / "outside.sh").write_text("echo")
    assert used(tmp_path / "project", files, command(*words)) == expected


def test_a_command_may_name_a_file_by_its_absolute_path(tmp_path: Path) -> None:
    """Would catch: the same script by another spelling going unseen."""
    assert used(tmp_path, {"jobs/run.sh": ""}, command("sh", str(tmp_path / "jobs/run.sh"))) == [
        "jobs/run.sh"
    ]


def test_patterns_name_files_and_folders_and_nothing_hidden(tmp_path: Path) -> None:
    """Would catch: a model file that changes and nobody sees it; a cache that counts as code."""
    models = ("models/a.json", "models/deep/b.json", "models/c.txt", "models/.cache/d.json")
    files = {"assets/a.py": "", "tool.py": "import e", "e.py": "", **dict.fromkeys(models, "")}
    assert used(tmp_path, files, python(code_files=("models/**/*.json",))) == [
        "models/a.json",
        "models/deep/b.json",
    ]
    assert used(tmp_path, files, python(code_files=("models",))) == [
        "models/a.json",
        "models/c.txt",
        "models/deep/b.json",
    ]
    assert used(tmp_path, files, python(code_files=("tool.py",))) == ["e.py", "tool.py"]
    _, problems = closure.find([python(code_files=("model/*",))], tree(tmp_path))
    assert [problem.code for problem in problems] == ["code_file_missing"]


def test_comments_docstrings_and_layout_do_not_count_and_all_else_does(tmp_path: Path) -> None:
    """Would catch: a formatter's run that makes everything stale, and a changed constant that
    doesn't."""
    files = {
        "assets/a.py": "import lib",
        "lib.py": (
            '"""Old."""\nRATE = 1  # of 2024\n\n\ndef f(x):\n    """Doc."""\n    return x * RATE\n'
        ),
    }
    before, _ = closure.find([python()], project(tmp_path, files))
    (tmp_path / "lib.py").write_text("RATE = (1)\ndef f(x):\n  return x * RATE")
    same, _ = closure.find([python()], tree(tmp_path))
    assert list(used_code.changed_files(before, same, "a", None)) == []
    assert used_code.code_digests(before, "a", "assets/a.py") == used_code.code_digests(
        same, "a", "assets/a.py"
    )
    (tmp_path / "lib.py").write_text("RATE = 2\ndef f(x):\n  return x * RATE")
    other, _ = closure.find([python()], tree(tmp_path))
    changed = [
        (link.path, change, link.via)
        for link, change in used_code.changed_files(before, other, "a", None)
    ]
    assert changed == [("lib.py", "changed", "assets/a.py:1 import lib")]


def test_what_was_found_holds_until_something_that_was_looked_at_changes(tmp_path: Path) -> None:
    """Would catch: a new file that takes an import's place unseen; and reading everything again
    each time."""
    result = project(
        tmp_path, {"assets/a.py": "import lib.rates", "lib/rates.py": "", "landing/x.csv": "1"}
    )
    closure.find([python(), msgspec.structs.replace(command("sh", "run.sh"), name="b")], result)
    seen = result.seen(0)
    assert "landing" not in seen.listings

    def same(*, exactly: bool = False) -> bool:
        return code_unchanged(
            tmp_path, seen, lambda path: (tmp_path / path).read_bytes(), exactly=exactly
        )

    assert same() and same(exactly=True)
    (tmp_path / "landing/y.csv").write_text("2")
    assert same()
    for path in ("run.sh", "lib/__init__.py", "lib.py"):
        (tmp_path / path).write_text("pass")
        assert not same(), path
        (tmp_path / path).unlink()
        assert same(), path
    (tmp_path / "lib/rates.py").write_text("RATE = 2")
    assert not same() and not same(exactly=True)


def test_each_content_is_parsed_once(tmp_path: Path) -> None:
    """Would catch: a module that a thousand assets import being parsed a thousand times, or again
    in the next command."""
    result = project(tmp_path, {"assets/a.py": "import lib", "lib.py": ""})
    closure.find([python()], result)
    reads: list[str] = []

    def read(path: str) -> bytes:
        reads.append(path)
        return (tmp_path / path).read_bytes()

    again = CodeTree(tmp_path, read, result.seen(0), result.facts_by_hash)
    closure.find([python()], again)
    assert reads == []
    racy = CodeSeen(files=result.seen(1).files)
    closure.find([python()], CodeTree(tmp_path, read, racy, result.facts_by_hash))
    assert sorted(reads) == ["assets/a.py", "lib.py"]


def test_too_many_files_are_refused_rather_than_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a pattern that names data, of which the first files count and the rest changes
    unseen."""
    monkeypatch.setattr(closure, "FILES_MAX", 3)
    files = {"assets/a.py": "", **{f"models/{n}.txt": "" for n in range(5)}}
    project(tmp_path, files)
    _, problems = closure.find([python(code_files=("models",))], tree(tmp_path))
    assert [(problem.code, problem.level) for problem in problems] == [
        ("file_not_read", ProblemLevel.ERROR)
    ]


def code(own: str, **files: tuple[str, ...]) -> Code:
    """Code of an asset `a`: file → the files that it uses; the first letter of its digest is its version."""

    def uses(names: tuple[str, ...]) -> tuple[Use, ...]:
        return tuple(Use(path=name, text=f"import {name}", line=1) for name in names)

    named = {f"{name[:-1]}.py": (name[-1], used) for name, used in files.items()}
    return Code(
        files={
            name: CodeFile(sha256=digest, digest=digest, uses=uses(used))
            for name, (digest, used) in named.items()
        },
        starts={"a": (Use(path=own, text="", line=1),)},
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (code("own.py", own1=("lib.py",), lib1=()), code("own.py", own1=("lib.py",), lib1=()), []),
        (
            code("own.py", own1=("lib.py",), lib1=()),
            code("own.py", own2=("lib.py",), lib2=()),
            [("lib.py", "changed")],
        ),
        (code("own.py", own1=()), code("own.py", own1=("lib.py",), lib1=()), [("lib.py", "added")]),
        (
            code("own.py", own1=("lib.py",), lib1=()),
            code("own.py", own1=()),
            [("lib.py", "removed")],
        ),
        (code("other.py", other1=()), code("own.py", own1=()), [("other.py", "removed")]),
        (
            code("own.py", own1=("lib.py",), lib1=("deep.py",), deep1=()),
            code("own.py", own1=("lib.py",), lib1=("deep.py", "new.py"), deep2=(), new1=()),
            [("deep.py", "changed"), ("new.py", "added")],
        ),
    ],
)
def test_changed_files_are_those_besides_its_own(
    before: Code, after: Code, expected: list[tuple[str, str]]
) -> None:
    """Would catch: a change of the asset's own file told twice, and a library that is gone told as changed."""
    results = [(link.path, kind) for link, kind in changed_files(before, after, "a", "own.py")]
    assert results == expected


def test_each_file_is_reached_by_its_shortest_way() -> None:
    """Would catch: a loop of imports without an end, and a file explained by the longest way to it."""
    loop = code(
        "own.py",
        own1=("b.py", "c.py"),
        b1=("d.py",),
        c1=("own.py", "d.py"),
        d1=("b.py",),
        alone1=(),
    )
    links = code_closure(loop, "a")
    assert [(link.path, [use.path for use in link.chain]) for link in links] == [
        ("own.py", ["own.py"]),
        ("b.py", ["own.py", "b.py"]),
        ("c.py", ["own.py", "c.py"]),
        ("d.py", ["own.py", "b.py", "d.py"]),
    ]
    assert links[3].via == "own.py:1 import b.py → b.py:1 import d.py"
    assert links[0].via == ""
    assert code_digests(loop, "a", "own.py") == [
        ("b.py", "1"),
        ("c.py", "1"),
        ("d.py", "1"),
        ("own.py", "1"),
    ]
    assert code_digests(code("own.py", own1=("b.py",), b1=()), "a", "own.py") == [("b.py", "1")]
    assert code_closure(loop, "nothing") == []


def test_versions_are_those_of_installed_distributions() -> None:
    """Would catch: a package that isn't installed left out of what a run records, and one that is imported under another name."""
    assert installed_versions(["pyyaml", "no-such-package"]) == {
        "pyyaml": metadata.version("pyyaml"),
        "no-such-package": None,
    }
    found = current_environment(["yaml", "msgspec", "no_such_module"], ["no-such-package"])
    assert found.interpreter == f"{platform.python_implementation()} {platform.python_version()}"
    assert {name.lower(): version for name, version in found.packages.items()} == {
        "msgspec": metadata.version("msgspec"), "pyyaml": metadata.version("pyyaml"), "no-such-package": None,
    }  # fmt: skip


def test_a_file_that_is_imported_twice_is_used_once(tmp_path: Path) -> None:
    """Would catch: two reasons for one file, of which each would be told as a change of its own."""
    text = "import lib\nfrom lib import rates\nimport lib\n"
    files = {"assets/a.py": text, "lib.py": "import assets.a\nrates = 1\n"}
    found, _ = closure.find([python()], project(tmp_path, files))
    uses = [(use.path, use.line) for use in found.files["assets/a.py"].uses]
    assert uses == [("lib.py", 1)]
