"""Files with many assets are compiled when they are applied; workers read their bytecode."""

from __future__ import annotations

import importlib.util
import marshal
import resource
import sys
from pathlib import Path

import pytest
from runlab import Lab

from headrace.engine.isolation import Loader
from headrace.runtime import bytecode
from headrace.runtime.bytecode import ASSETS_MIN, write_bytecode

ASSET = '@asset(owner="core", materialize="none")\ndef {name}():\n    print("{name} ran")\n'


def _many(prefix: str) -> str:
    assets = [ASSET.format(name=f"{prefix}{n:02}") for n in range(ASSETS_MIN)]
    return "\n\n".join(["from headrace import asset\n", *assets])


def _cached(folder: Path, file: str) -> Path:
    return Path(importlib.util.cache_from_source(str(folder / file)))


def _replace_code(cached: Path, text: str) -> None:
    """Keep a bytecode file's header, with its source's hash, and replace the code after it."""
    code = marshal.dumps(compile(text, "other.py", "exec"))
    cached.write_bytes(cached.read_bytes()[:16] + code)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A code folder with one file."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "rates.py").write_text("RATE = 1\n")
    return folder


@pytest.fixture
def loader() -> Loader:
    return Loader()


def test_workers_read_the_bytecode(folder: Path, loader: Loader) -> None:
    """Would catch: bytecode where Python doesn't look, or with a header that it refuses."""
    written = [*write_bytecode(["rates.py"], folder, None)]
    assert written == [_cached(folder, "rates.py")]
    _replace_code(written[0], "RATE = 'from the bytecode'\n")
    try:
        assert loader.load(folder, "rates.py").RATE == "from the bytecode"
    finally:
        loader.forget()


def test_a_source_that_differs_is_compiled_again(folder: Path, loader: Loader) -> None:
    """Would catch: bytecode that is trusted whatever its source says."""
    [*write_bytecode(["rates.py"], folder, None)]
    (folder / "rates.py").write_text("RATE = 2\n")
    try:
        assert loader.load(folder, "rates.py").RATE == 2
    finally:
        loader.forget()


def test_bytecode_of_unchanged_files_is_copied(folder: Path, tmp_path: Path) -> None:
    """Would catch: a project of many files that is compiled again for a change of one of them."""
    (folder / "fees.py").write_text("FEE = 1\n")
    [*write_bytecode(["rates.py", "fees.py"], folder, None)]
    for name in ("rates.py", "fees.py"):
        _replace_code(_cached(folder, name), "KEPT = True\n")
    later = tmp_path / "later"
    later.mkdir()
    (later / "rates.py").write_text("RATE = 1\n")
    (later / "fees.py").write_text("FEE = 2\n")
    [*write_bytecode(["rates.py", "fees.py"], later, folder)]
    same = _cached(folder, "rates.py").read_bytes() == _cached(later, "rates.py").read_bytes()
    changed = _cached(folder, "fees.py").read_bytes() != _cached(later, "fees.py").read_bytes()
    assert same and changed


@pytest.mark.parametrize("copied", [True, False], ids=["copied", "compiled"])
def test_bytecode_for_which_there_is_no_room_is_not_left_truncated(
    folder: Path, tmp_path: Path, loader: Loader, copied: bool
) -> None:
    """Would catch: a full disk after which no worker can import the file ever again."""
    (folder / "rates.py").write_text(f"RATES = {tuple(range(5000))}\n")
    (written,) = write_bytecode(["rates.py"], folder, None)
    later = tmp_path / "later"
    later.mkdir()
    (later / "rates.py").write_bytes((folder / "rates.py").read_bytes())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (written.stat().st_size // 2, limits[1]))
    try:
        assert [*write_bytecode(["rates.py"], later, folder if copied else None)] == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    try:
        assert len(loader.load(later, "rates.py").RATES) == 5000
    finally:
        loader.forget()


def test_bytecode_that_python_dated_is_not_copied(folder: Path, tmp_path: Path) -> None:
    """Would catch: bytecode that is only valid for a source of one time of writing."""
    cached = _cached(folder, "rates.py")
    cached.parent.mkdir()
    cached.write_bytes(importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(None))
    later = tmp_path / "later"
    later.mkdir()
    (later / "rates.py").write_text("RATE = 1\n")
    [*write_bytecode(["rates.py"], later, folder)]
    assert _cached(later, "rates.py").read_bytes()[:8] == bytecode._HEADER


@pytest.mark.parametrize(
    "text", ["def broken(:\n", "SAME = () is ()\n", "x = 1\0\n"], ids=["syntax", "warning", "null"]
)
def test_workers_report_what_compiling_reports(
    folder: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Would catch: a warning that reaches the leader's terminal instead of the attempt's log."""
    (folder / "rates.py").write_text(text)
    assert [*write_bytecode(["rates.py"], folder, None)] == []
    assert not _cached(folder, "rates.py").exists()
    assert capsys.readouterr() == ("", "")


def test_another_folder_for_bytecode_is_left_to_python(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: files below `PYTHONPYCACHEPREFIX` that nothing ever removes."""
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "elsewhere"))
    assert [*write_bytecode(["rates.py"], folder, None)] == []
    assert not (tmp_path / "elsewhere").exists()


def test_only_files_with_many_assets_are_compiled(lab: Lab) -> None:
    """Would catch: a run that compiles files that no worker may need."""
    lab.write("assets/many.py", _many("a"))
    lab.write("assets/one.py", "from headrace import asset\n\n\n" + ASSET.format(name="alone"))
    lab.run()
    (folder,) = (lab.root / ".headrace" / "code").iterdir()
    header = _cached(folder, "assets/many.py").read_bytes()[:8]
    assert header == bytecode._HEADER
    alone = _cached(folder, "assets/one.py")
    assert not alone.exists() or alone.read_bytes()[:8] != header, "a worker's own is dated"
