"""After an edit, compiling what depends on it gives what compiling everything gives."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from projects import contract, same, source, sql, write

from headrace.compiler.cache import Cache, KeptBodies, KeptCompilation
from headrace.compiler.compiling import compile_project
from headrace.compiler.edited import EditAssembler
from headrace.compiler.lineage import compile_lineage

ASSETS = 24
STEPS = 10


@pytest.fixture
def reused(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many nodes each compilation that used a former one computed."""
    numbers: list[int] = []
    original = EditAssembler._take_former

    def counting(self: EditAssembler, *arguments: object) -> None:
        numbers.append(len(arguments[2]))  # type: ignore[arg-type]
        original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(EditAssembler, "_take_former", counting)
    return numbers


def _project(root: Path, rng: random.Random) -> Path:
    files = {
        "sources/s.yaml": source("s", "*"),
        "sources/d.yaml": source("d") + "checks:\n  - references: {column: k, to: a0.k}\n",
        "contracts/c.odcs.yaml": contract("c", k="integer|BIGINT", v="integer|BIGINT"),
        "assets/a0.sql": sql("select k, v from s"),
        "assets/a3.sql": sql("select k, v from a0"),
        "assets/python.py": (
            'from headrace import asset\n@asset(owner="core", inputs=["a3"])\n'
            "def python(a3):\n    return a3\n"
        ),
    }
    write(root, files)
    for n in range(1, ASSETS):
        while _has_errors(write(root, {f"assets/a{n}.sql": _asset(n, rng)})):
            pass
    return root


def _has_errors(root: Path) -> bool:
    return compile_project(root).compiled is None


def _asset(n: int, rng: random.Random) -> str:
    """An asset that reads earlier ones, in one of many shapes."""
    one, two = rng.randrange(n), rng.randrange(n)
    body = rng.choice(
        [
            f"select k, v + {n} as v from a{one}",
            f"select * from a{one}",
            f"select l.k, r.v from a{one} l join a{two} r on l.k = r.k",
            f"select k, cast(v as {rng.choice(['INTEGER', 'VARCHAR', 'DOUBLE'])}) as v from a{one}",
            f"select k, v, $threshold as t{n} from a{one}",
            f"with x as (select k, count(*) as v from a{one} group by k) select * from x",
            f"select k, unknown_function(v) as v from a{one}",
        ]
    )
    front = rng.choice(
        [
            {},
            {},
            {"checks": "[{not_null: [k]}]"},
            {"checks": f"[{{references: {{column: k, to: a{two}.k}}}}]"},
            {"checks": f"[{{sql: {{query: 'select k from $self except select k from a{two}'}}}}]"},
            {"materialize": "view"},
            {"materialize": "merge", "merge": "{keys: [k]}"},
            {"depends": f"[a{two}]"},
            {"inputs": f"[{{a{one}: all}}]"},
        ]
    )
    return sql(body, **front)


def _edit(root: Path, rng: random.Random) -> str:
    """Change the files somehow; returns what was done."""
    n = rng.randrange(1, ASSETS)
    path = root / f"assets/a{n}.sql"
    kinds: dict[str, Callable[[], object]] = {
        "comment": lambda: _append(path, "-- edited\n"),
        "lines": lambda: _append(path, "\n" * rng.randrange(1, 4), first=True),
        "value": lambda: _replace(path, " as v", f" + {rng.randrange(9)} as v"),
        "columns": lambda: _replace(path, "select k,", f"select k, {n} as more{n},"),
        "owner": lambda: _replace(path, "owner: core", "owner: vendor"),
        "contract": lambda: _replace(path, "owner: core", "owner: core\ncontract: c"),
        "column": lambda: _replace(path, " as v", " as w"),
        "error": lambda: _replace(path, "select", "select missing,"),
        "other": lambda: path.write_text(_asset(n, rng), encoding="utf-8"),
        "several": lambda: [
            _append(root / f"assets/a{other}.sql", "-- again\n")
            for other in rng.sample(range(1, ASSETS), 4)
        ],
        "delete": lambda: path.unlink(missing_ok=True),
        "rename": lambda: path.exists() and path.rename(root / f"assets/b{n}.sql"),
        "settings": lambda: _replace(root / "headrace.toml", "15", f"15{rng.randrange(9)}"),
        "source": lambda: _append(root / "sources/s.yaml", f"# {rng.random()}\n"),
        "python": lambda: _append(root / "assets/python.py", "X = 1\n"),
    }
    likely = ["comment", "lines", "value", "columns", "owner", "contract", "several"]
    kind = rng.choice([*likely, *likely, *kinds])
    kinds[kind]()
    return f"{kind} {path.name}"


def _append(path: Path, text: str, *, first: bool = False) -> None:
    if path.exists():
        before = path.read_text(encoding="utf-8")
        path.write_text(text + before if first else before + text, encoding="utf-8")


def _replace(path: Path, before: str, after: str) -> None:
    if path.exists():
        text = path.read_text(encoding="utf-8").replace(before, after, 1)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("seed", range(8))
def test_random_edits_give_what_a_cold_start_gives(tmp_path: Path, seed: int) -> None:
    """A node of before the edit that should have been computed again would be used unnoticed."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    root, cache = _project(tmp_path, rng), tmp_path / "cache"
    good = _texts(root)
    for step in range(STEPS):
        edit, other = _edit(root, rng), tmp_path / f"cache{step}"
        after, cold = compile_project(root, cache=cache), compile_project(root, cache=other)
        assert same(after, cold), edit
        assert _encoded(after) == _encoded(cold), edit
        if after.compiled is None:
            if rng.random() < 0.5:  # else the next edit starts from files with errors
                _restore(root, good)
                compile_project(root, cache=cache)
            continue
        good = _texts(root)
        lineage, fresh = (
            compile_lineage(after.compiled, cache),
            compile_lineage(after.compiled, other),
        )
        assert all(lineage.of(name) == fresh.of(name) for name in after.compiled.order), edit


def _texts(root: Path) -> dict[Path, str]:
    return {
        path: path.read_text(encoding="utf-8")
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith(".msgpack")
    }


def _restore(root: Path, texts: dict[Path, str]) -> None:
    for path in _texts(root):
        if path not in texts:
            path.unlink()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


def _encoded(value: object) -> bytes:
    """The order of everything counts, too."""
    return msgspec.msgpack.encode(value)


def _chain(root: Path) -> Path:
    files = {"sources/s.yaml": source("s", "*"), "assets/a0.sql": sql("select k, v from s")}
    files |= {f"assets/a{n}.sql": sql(f"select k, v from a{n - 1}") for n in range(1, 10)}
    return write(root, files)


def test_only_what_is_downstream_of_an_edit_is_computed(tmp_path: Path, reused: list[int]) -> None:
    """Computing 10,000 nodes after the edit of one takes as long as reading all their files."""
    root, cache = _chain(tmp_path), tmp_path / "cache"
    compile_project(root, cache=cache)
    _append(root / "assets/a7.sql", "-- edited\n")
    assert same(compile_project(root, cache=cache), compile_project(root))
    assert reused == [3]


def test_an_edit_of_files_with_errors_computes_only_what_is_downstream(
    tmp_path: Path, reused: list[int]
) -> None:
    """An editor compiles at each keystroke, and what is being typed is an error most of the
    time."""
    root, cache = _chain(tmp_path), tmp_path / "cache"
    compile_project(root, cache=cache)
    _replace(root / "assets/a7.sql", "k, v", "k, vv")
    assert compile_project(root, cache=cache).compiled is None
    _replace(root / "assets/a7.sql", "k, vv", "k, vvv")
    assert same(compile_project(root, cache=cache), compile_project(root))
    assert reused == [3, 3]


def test_a_cycle_that_is_taken_out_isnt_reported_any_more(tmp_path: Path) -> None:
    """The nodes of a cycle have no order to start from."""
    root, cache = _chain(tmp_path), tmp_path / "cache"
    _replace(root / "assets/a3.sql", "from a2", "from a7")
    before = compile_project(root, cache=cache)
    assert "cycle" in {problem.code for problem in before.problems}
    _append(root / "assets/a3.sql", "-- edited\n")
    assert same(compile_project(root, cache=cache), compile_project(root))
    _replace(root / "assets/a3.sql", "from a7", "from a2")
    assert compile_project(root, cache=cache).compiled is not None


def test_a_warning_of_an_unchanged_file_stays(tmp_path: Path, reused: list[int]) -> None:
    """A problem that vanished with the edit of another file would look solved."""
    root, cache = _chain(tmp_path), tmp_path / "cache"
    warned = sql("select k, v from a0", inputs="[a0, {s: all}]")
    (root / "assets/warned.sql").write_text(warned, encoding="utf-8")
    before = compile_project(root, cache=cache)
    assert [problem.code for problem in before.problems] == ["unread_input"]
    _append(root / "assets/a7.sql", "-- edited\n")
    assert compile_project(root, cache=cache).problems == before.problems
    assert reused == [3]


def test_analyses_of_another_compilation_arent_combined_with_a_former_one(
    tmp_path: Path, reused: list[int]
) -> None:
    """A process that ended between two cache files leaves columns of one and nodes of the other."""
    root, cache = _chain(tmp_path), tmp_path / "cache"
    compile_project(root, cache=cache)
    bodies = Cache(cache).load(KeptBodies)
    assert bodies is not None
    Cache(cache).keep(msgspec.structs.replace(bodies, contents=b"of others"))
    _append(root / "assets/a7.sql", "-- edited\n")
    assert same(compile_project(root, cache=cache), compile_project(root))
    assert not reused
    former = Cache(cache).load(KeptCompilation)
    again = Cache(cache).load(KeptBodies)
    assert former is not None and again is not None and former.contents == again.contents


def test_a_server_decodes_the_last_compilation_once_until_a_file_changes(tmp_path: Path) -> None:
    """Would catch: each request for a contract decoding all nodes again, and one that still shows
    what the files said before an edit."""
    memory: dict[str, tuple[str, Any]] = {}
    root, cache = _chain(tmp_path), Cache(tmp_path / "cache", memory)
    compile_project(root, cache=cache)
    assert compile_project(root, cache=cache) is compile_project(root, cache=cache)
    assert len(memory) == 1
    _append(root / "assets/a7.sql", "-- edited\n")
    edited = compile_project(root, cache=cache)
    assert same(edited, compile_project(root))
    assert compile_project(root, cache=cache) is compile_project(root, cache=cache)
    assert same(compile_project(root, cache=cache), edited)
    assert len(memory) == 1
