"""What the leader does before it names a file: it is on disk, whole, and the one that
was audited.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lakelab import Lake

from headrace.lake import files
from headrace.lake.files import sync, verify
from headrace.lake.tables import StagedFile
from headrace.model.errors import LakeError


@pytest.fixture
def staged(lake: Lake) -> StagedFile:
    return lake.stage("t", "k", "SELECT range AS id, 'n' || range AS note FROM range(1000)")[0]


def _missing(path: Path) -> None:
    path.unlink()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _grown(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _footer_changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))


def _other_file(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def _link(path: Path) -> None:
    moved = path.with_suffix(".moved")
    path.rename(moved)
    path.symlink_to(moved)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _unreadable_tail(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8] + b"\xff\xff\xff\xffPAR1")


@pytest.mark.parametrize(
    "damage",
    [_missing, _truncated, _grown, _footer_changed, _other_file, _link, _folder, _unreadable_tail],
)
def test_a_file_that_is_not_as_it_was_staged_is_refused(
    lake: Lake, staged: StagedFile, damage: Callable[[Path], None]
) -> None:
    damage(lake.data_folder / staged.path)
    with pytest.raises(LakeError, match="staged file"):
        verify(lake.data_folder, staged)


@pytest.mark.parametrize(
    "path",
    [
        "../outside.parquet",
        "/etc/passwd",
        "main/t/../../../outside.parquet",
        "main/linked/outside.parquet",
        "",
    ],
)
def test_a_path_outside_the_lake_is_refused(
    lake: Lake, staged: StagedFile, tmp_path: Path, path: str
) -> None:
    """B10. Through a linked folder too."""
    shutil.copy(lake.data_folder / staged.path, tmp_path / "outside.parquet")
    (lake.data_folder / "main" / "linked").symlink_to(tmp_path)
    moved = StagedFile(path, staged.rows, staged.size_bytes, staged.footer_bytes, {}, ())
    with pytest.raises(LakeError, match="outside"):
        verify(lake.data_folder, moved)


def test_a_file_as_it_was_staged_passes(lake: Lake, staged: StagedFile) -> None:
    assert verify(lake.data_folder, staged) == lake.data_folder / staged.path


def test_a_file_that_is_gone_cannot_be_made_durable(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="durable"):
        sync([tmp_path / "nothing.parquet"])


def test_elsewhere_a_file_is_synced_before_its_folder_and_that_before_the_one_above(
    lake: Lake, staged: StagedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def record(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(sys, "platform", "freebsd14")
    monkeypatch.setattr(os, "fsync", record)
    sync([lake.data_folder / staged.path])
    assert synced == [
        str(lake.data_folder / staged.path),
        str(lake.data_folder / "main" / "t"),
        str(lake.data_folder / "main"),
    ]


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("strace") is None, reason="needs strace"
)
def test_one_syncfs_does_for_any_number_of_files(lake: Lake) -> None:
    """The kernel's own word for it; one call a file would cost 2.5 to 12 ms each."""
    paths = [
        lake.data_folder / lake.stage("t", f"k{number}", "SELECT 1 AS id")[0].path
        for number in range(5)
    ]
    code = (
        "from pathlib import Path\nfrom headrace.lake.files import sync\nsync([Path(p) for p in"
        f" {[str(path) for path in paths]!r}])"
    )
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=syncfs,fsync,fdatasync", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace isn't allowed here")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("syncfs(") == 1
    assert "= 0" in next(line for line in done.stderr.splitlines() if "syncfs(" in line)


def test_the_leaders_side_needs_no_duckdb() -> None:
    """The leader holds the state database; a second SQLite library in its process would lose its
    locks.
    """
    code = (
        "import sys\nimport headrace.lake.catalog, headrace.lake.files, headrace.lake.files\n"
        "print('duckdb' in sys.modules, 'pyarrow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
    assert files.MAGIC == b"PAR1"
