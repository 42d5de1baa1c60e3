"""What was understood before is used exactly as long as it holds."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from projects import compiled, same, source, sql, write

import headrace.compiler.cache as cache_module
from headrace.compiler.compiling import compile_project
from headrace.compiler.lineage import compile_lineage
from headrace.compiler.project_files import ProjectFiles
from headrace.model import plugins
from headrace.model.files import Content, ProjectFile

FILES = ("stamp", "compilation", "files", "bodies", "lineage")


def _project(root: Path, assets: int = 30) -> Path:
    files = {
        "sources/s.yaml": source("s", "*"),
        "assets/a0.sql": sql("select k, v from s", checks="[{not_null: [k]}]"),
    }
    files |= {
        f"assets/a{n}.sql": sql(f"select k, v + {n} as v from a{n - 1}") for n in range(1, assets)
    }
    return write(root, files)


def _aged(root: Path) -> Path:
    """All files as if they had been written long ago, so that none of them counts as racy."""
    for path in root.rglob("*"):
        if path.is_file() and ".headrace" not in path.parts:
            os.utime(path, (1_600_000_000, 1_600_000_000))
    return root


def test_warm_is_the_same_as_cold(tmp_path: Path) -> None:
    """What comes out of the cache must be equal to the last field to what was computed."""
    root, cache = _project(tmp_path), tmp_path / "cache"
    cold = compile_project(root, cache=cache)
    assert same(cold, compile_project(root, cache=cache)) and same(cold, compile_project(root))


def test_processes_give_the_same_as_one(tmp_path: Path) -> None:
    """Work that is spread must come back in the right order."""
    root = _project(tmp_path, 700)
    done: list[tuple[int, int]] = []
    spread = compile_project(root, processes=2, progress=lambda *step: done.append(step))
    assert same(spread, compile_project(root))
    assert done[-1][0] == done[-1][1] and [step for step, _ in done] == sorted(
        step for step, _ in done
    )


def test_nothing_changed_needs_no_parser(tmp_path: Path) -> None:
    """Importing sqlglot takes longer than reading the whole cache."""
    root, cache = _project(tmp_path), tmp_path / "cache"
    compile_project(root, cache=cache)
    code = (
        "import sys; from pathlib import Path; from headrace.compiler.compiling import compile_project\nfound ="
        f" compile_project(Path({str(root)!r}), cache=Path({str(cache)!r}))\nassert"
        " len(found.compiled.nodes) == 31\nsys.exit('sqlglot' in sys.modules or 'yaml' in"
        " sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("seed", range(6))
def test_after_any_edits_the_cache_says_what_a_fresh_look_says(tmp_path: Path, seed: int) -> None:
    """The bug that nobody finds: something that was changed, and isn't seen."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    root, cache = _project(tmp_path), tmp_path / "cache"
    for _ in range(12):
        _edit(root, rng)
        assert same(compile_project(root, cache=cache), compile_project(root))
        for name in ("a5", "a20"):
            result = compile_project(root, cache=cache).compiled
            if result is not None and name in result.nodes:
                assert compile_lineage(result, cache).of(name) == compile_lineage(result).of(name)


def _edit(root: Path, rng: random.Random) -> None:
    n = rng.randrange(1, 30)
    path = root / f"assets/a{n}.sql"
    text = rng.choice(
        [
            sql(f"select k, v + {n} as v from a{n - 1}"),
            sql(f"select k, v * 2 as v, {n} as extra from a{n - 1}"),
            sql(f"select * from a{n - 1}"),
            sql(f"select k, missing as v from a{n - 1}"),
            sql(f"select k, v from nobody{n}"),
            sql(f"select k, v from a{min(n + 1, 29)}"),
            sql("select k v from from"),
            "",
        ]
    )
    if rng.random() < 0.15:
        path.unlink(missing_ok=True)
    else:
        path.write_text(text, encoding="utf-8")


def test_a_change_within_one_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    """Size, times and inode can be those of before: then only the content tells."""
    root, cache = _project(tmp_path), tmp_path / "cache"
    path = root / "assets/a1.sql"
    before = compile_project(root, cache=cache)
    seen = path.stat()
    path.write_text(path.read_text(encoding="utf-8").replace("v + 1", "v + 7"), encoding="utf-8")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    real_scan = path.stat()
    assert real_scan.st_size == seen.st_size and real_scan.st_mtime_ns == seen.st_mtime_ns
    after = compile_project(root, cache=cache)
    assert before.compiled is not None and after.compiled is not None
    assert before.compiled.nodes["a1"].fingerprint != after.compiled.nodes["a1"].fingerprint


def test_files_of_just_now_are_compared_by_content(tmp_path: Path) -> None:
    """A file written in the same tick in which it was read has the times of before the change."""
    root, cache = _project(tmp_path), tmp_path / "cache"
    compile_project(root, cache=cache)
    stamp = cache_module.Cache(cache).load(cache_module.Stamp)
    assert stamp is not None and "assets/a1.sql" in stamp.racy
    aged = _aged(_project(tmp_path / "old"))
    later = tmp_path / "later"
    compile_project(aged, cache=later)
    kept = cache_module.Cache(later).load(cache_module.Stamp)
    assert kept is not None and ("assets/a1.sql" in kept.racy) == (
        aged.joinpath("assets/a1.sql").stat().st_ctime_ns > 0
    )


def test_settled_files_are_read_once_more_and_then_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a project that was written at once, all of whose files each command reads."""
    root, cache = _project(tmp_path), tmp_path / "cache"
    compile_project(root, cache=cache)
    monkeypatch.setattr(cache_module, "RACY_NS", -10_000_000_000)  # as if it were 10 s later
    read: list[str] = []
    declaration = ProjectFiles.declaration

    def counted(files: ProjectFiles, file: ProjectFile) -> Content:
        read.append(file.path)
        return declaration(files, file)

    monkeypatch.setattr(ProjectFiles, "declaration", counted)
    first = compile_project(root, cache=cache)
    assert len(read) > 30
    read.clear()
    assert same(compile_project(root, cache=cache), first) and read == []
    _edit(root, random.Random(1))
    assert same(compile_project(root, cache=cache), compile_project(root))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "damage", ["empty", "half", "noise", "text", "folder", "foreign", "nested"]
)
def test_a_damaged_cache_is_ignored_and_written_again(
    tmp_path: Path, name: str, damage: str
) -> None:
    """A full disk or another version must cost time, never an answer."""
    root, cache = _project(tmp_path, 8), tmp_path / "cache"
    expected = compile_project(root, cache=cache)
    path = cache / f"{name}.msgpack"
    _damage(path, damage)
    (root / "assets/a3.sql").write_text(sql("select k, v + 33 as v from a2"), encoding="utf-8")
    changed = compile_project(root, cache=cache)
    assert same(changed, compile_project(root)) and not same(changed, expected)
    if damage != "folder":
        assert cache_module.Cache(cache).load(_kind(name)) is not None


def _damage(path: Path, damage: str) -> None:
    data = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
        return
    path.write_bytes(
        {
            "empty": b"",
            "half": data[: len(data) // 2],
            "noise": random.Random(1).randbytes(500),
            "text": b"not a cache",
            "foreign": data.replace(b"0.1.0", b"9.9.9"),
            "nested": b"\x91" * 5000 + b"\xc0",
        }[damage]
    )


def _kind(name: str) -> type:
    return next(kind for kind, known in cache_module._NAMES.items() if known == name)


def test_a_cache_that_cant_be_written_is_no_failure(tmp_path: Path) -> None:
    """Read-only checkouts are validated in CI."""
    root = _project(tmp_path, 5)
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    assert compiled(root, cache=tmp_path / "cache").order


def test_a_file_that_couldnt_be_read_is_read_next_time(tmp_path: Path) -> None:
    """Its stat doesn't change when the disk recovers."""
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    root, cache = _project(tmp_path, 5), tmp_path / "cache"
    (root / "assets/a2.sql").chmod(0)
    assert compile_project(root, cache=cache).compiled is None
    (root / "assets/a2.sql").chmod(0o644)
    assert compile_project(root, cache=cache).compiled is not None


@pytest.mark.usefixtures("cold_helpers")
def test_a_lost_process_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may kill a helper that grows: its share is done here."""
    root = _project(tmp_path, 700)
    folder = tmp_path / "bin"
    folder.mkdir()
    python = folder / "python"
    python.write_text(
        f"#!/bin/sh\nif mkdir {folder}/first 2>/dev/null; then exec head -c 100 >/dev/null;"
        f' fi\nexec {sys.executable} "$@"\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert same(compile_project(root, processes=2), compile_project(root))
    assert (folder / "first").exists()


def test_an_installed_package_ends_its_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: "is in another package" from the cache, after `pip install` as it says."""
    root, cache = write(tmp_path, {"sources/s.yaml": source("s", "*")}), tmp_path / "cache"
    with (root / "headrace.toml").open("a") as settings:
        settings.write('\n[openlineage]\nfile = "events.jsonl"\n')
    _aged(root)
    with monkeypatch.context() as patch:
        patch.setattr(plugins, "_entry_points", lambda _: ())
        [problem] = compile_project(root, cache=cache).problems
        assert problem.hint == "pip install headrace-observe"
    target = plugins.Plugin(
        group=plugins.EMITTERS, name="openlineage", package="headrace-observe 1", target="x:y"
    )
    monkeypatch.setattr(plugins, "_entry_points", lambda _: ((target, None),))
    assert compile_project(root, cache=cache).problems == []
