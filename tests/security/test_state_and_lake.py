"""The link between a state and its lake: each pair that doesn't belong together is refused, and every
other pair is opened.
"""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from state_kinds import ONLY_SQLITE

from headrace.lake import catalog
from headrace.lake.catalog import CatalogChange
from headrace.lake.schema import TargetTable
from headrace.lake.session import DuckDBSession
from headrace.lake.staging import stage
from headrace.model import Settings, StoreError
from headrace.security import state
from headrace.store import Store, Transaction

WHERE = "sqlite:x"


class Project:
    """A project's folder with its state and its lake; `publish` writes real files."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root, self.settings = root, settings
        self.lake = state.lake_folder(root, settings)
        self.lake.mkdir(parents=True)

    def open(self, **options: bool) -> Store:
        return state.open_state(self.root, self.settings, **options)

    def create(self) -> None:
        self.open(create=True).close()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction, whether or not state and lake fit."""
        with Store.open(self.root, self.settings) as store, store.write(None) as tx:
            yield tx

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        with Store.open(self.root, self.settings) as store, store.read() as tx:
            yield tx

    def publish(self, *keys: str) -> list[Path]:
        """One file of one row for each key."""
        session = DuckDBSession(self.lake, threads=1)
        results = []
        try:
            with self.write() as tx:
                if catalog.missing(tx):
                    catalog.create(tx, f"{self.lake}/")
                for at, key in enumerate(keys):
                    known = catalog.table(tx, "t", None)
                    staged, table = stage(
                        session, "select 1 as n", target=TargetTable("t", known), partition=key
                    )
                    change = CatalogChange.begin(tx, at + 1)
                    if known is None:
                        change.create_table(table)
                    change.replace("t", [key], [staged])
                    change.finish("headrace", "publish")
                    results.append(self.lake / staged.path)
        finally:
            session.close()
        return results

    def give_up(self, file: Path) -> None:
        """Register the rows of a file as lost."""
        with self.write() as tx:
            change = CatalogChange.begin(tx, 9)
            change.give_up("t", str(file.relative_to(self.lake)), {"a": 1})
            change.finish("headrace", "give up")


@pytest.fixture
def project(tmp_path: Path, state_settings: Settings) -> Project:
    return Project(tmp_path, state_settings)


# The lake's own file
# --------------------------------------------------------------------------------------------------


def test_a_lake_without_the_file_has_no_identity(tmp_path: Path) -> None:
    """Would catch: a new project that is refused, as its lake's folder isn't there yet."""
    (tmp_path / "file").write_bytes(b"")
    for lake in (tmp_path, tmp_path / "absent", tmp_path / "file"):
        assert state.lake_identity(lake) is None


def test_a_lake_is_marked_once(tmp_path: Path) -> None:
    """Would catch: a file that every tick replaces, one that names another project's state for
    ever, a part of one or an open folder that stays.
    """
    path = tmp_path / state.FILE
    state.mark_lake(tmp_path, "a" * 32, "orders")
    assert json.loads(path.read_bytes()) == {"identity": "a" * 32, "project": "orders"}
    assert path.read_bytes().endswith(b"\n")
    assert state.lake_identity(tmp_path) == "a" * 32
    before = path.stat()
    state.mark_lake(tmp_path, "a" * 32, "renamed")
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    state.mark_lake(tmp_path, "b" * 32, "orders")
    assert state.lake_identity(tmp_path) == "b" * 32
    assert [item.name for item in tmp_path.iterdir()] == [state.FILE]
    assert str(tmp_path) not in opened_paths()


def opened_paths() -> list[str]:
    """What the descriptors of this process stand for."""
    results = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            results.append(str(descriptor.readlink()))
    return results


def test_a_lake_that_can_not_be_marked_keeps_what_it_has(tmp_path: Path) -> None:
    """Would catch: a full disk that leaves half an identity, or a traceback."""
    state.mark_lake(tmp_path, "a" * 32, "orders")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(StoreError, match=r"identity\.json can't be written: File too large"):
            state.mark_lake(tmp_path, "b" * 32, "orders")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert state.lake_identity(tmp_path) == "a" * 32
    assert [item.name for item in tmp_path.iterdir()] == [state.FILE]
    with pytest.raises(StoreError, match="can't be written: No such file"):
        state.mark_lake(tmp_path / "absent", "a" * 32, "orders")


def test_a_file_that_can_not_be_read_is_no_missing_one(tmp_path: Path) -> None:
    """Would catch: a damaged file that is replaced by the identity of whichever state comes."""
    path = tmp_path / state.FILE
    path.write_bytes(b'{"identity": 3}')
    with pytest.raises(StoreError, match="doesn't say which state") as caught:
        state.mark_lake(tmp_path, "a" * 32, "orders")
    assert "db check" in caught.value.hint
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match=r"identity\.json can't be read: Is a directory"):
        state.lake_identity(tmp_path)


def test_only_data_files_of_tables_count(tmp_path: Path) -> None:
    """Would catch: an empty lake that counts as one with files, for what other tools leave."""
    assert list(state.data_files(tmp_path)) == []
    for name in (
        "main/t/a.parquet",
        "main/b.parquet",
        "main/t/a.tmp",
        "c.parquet",
        "other/d.parquet",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(state.data_files(tmp_path)) == [
        tmp_path / "main/b.parquet",
        tmp_path / "main/t/a.parquet",
    ]


# The state's identity
# --------------------------------------------------------------------------------------------------


def test_a_state_gets_the_identity_of_its_lake_or_a_new_one(project: Project) -> None:
    """Would catch: an identity that changes with every leader, so that each refuses the other's
    lake.
    """
    project.create()
    with project.read() as tx:
        assert state.state_identity(tx) is None
    with project.write() as tx:
        new = state.settle_identity(tx, project.lake)
        assert re.fullmatch("[0-9a-f]{32}", new)
    state.mark_lake(project.lake, "b" * 32, "test")
    with project.write() as tx:
        assert state.settle_identity(tx, project.lake) == new
        state.set_identity(tx, "c" * 32)
    with project.read() as tx:
        assert state.state_identity(tx) == "c" * 32
    with project.write() as tx:
        tx.execute("delete from meta where key = 'identity'")
        assert state.settle_identity(tx, project.lake) == "b" * 32
    with project.read() as tx:
        assert state.state_identity(tx) == "b" * 32


# A state that is lost
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "marked", "message"),
    [
        (0, False, None),
        (0, True, "has 0 files of it"),
        (1, False, "has 1 file of it"),
        (1_001, True, "has 1,001 files of it"),
    ],
)
def test_a_lake_with_anything_in_it_shows_that_a_state_is_lost(
    tmp_path: Path, files: int, marked: bool, message: str | None
) -> None:
    """Would catch: a lost state that is created anew beside its files, and a project whose first
    command is refused.
    """
    (tmp_path / "main/t").mkdir(parents=True)
    for number in range(files):
        (tmp_path / f"main/t/{number}.parquet").touch()
    if marked:
        state.mark_lake(tmp_path, "a" * 32, "test")
    if message is None:
        state.refuse_lost(tmp_path, WHERE)
        return
    with pytest.raises(StoreError, match=message) as caught:
        state.refuse_lost(tmp_path, WHERE)
    assert WHERE in str(caught.value)
    assert "db restore" in caught.value.hint


@pytest.mark.no_state
def test_a_lost_state_is_neither_created_nor_denied(project: Project) -> None:
    """Would catch: `headrace tick` that begins with an empty state beside a lake with files, or
    `headrace status` that takes it for a new project.
    """
    assert not state.state_exists(project.root, project.settings)
    state.check_identity(project.root, project.settings)
    (project.lake / "main").mkdir()
    (project.lake / "main/a.parquet").touch()
    for command in (
        lambda: project.open(create=True),
        lambda: state.state_exists(project.root, project.settings),
        lambda: state.check_identity(project.root, project.settings),
    ):
        with pytest.raises(StoreError, match="is missing or empty"):
            command()
    (project.lake / "main/a.parquet").unlink()
    project.create()
    assert state.state_exists(project.root, project.settings)


# A state and a lake that don't belong together
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "refused"),
    [
        (None, None, ""),
        ("a" * 32, None, ""),
        ("a" * 32, "a" * 32, ""),
        (None, "b" * 32, ""),
        ("a" * 32, "b" * 32, r"\(state aaaaaaaa\) isn't that of the lake .* \(state bbbbbbbb\)"),
    ],
)
def test_a_state_of_another_lake_is_refused(
    project: Project, ours: str | None, theirs: str | None, refused: str
) -> None:
    """Would catch: a state that writes into the lake of another one, and a first leader that is
    refused because nothing has an identity yet. (The lake has no data files here.)
    """
    project.create()
    if ours is not None:
        with project.write() as tx:
            state.set_identity(tx, ours)
    if theirs is not None:
        state.mark_lake(project.lake, theirs, "test")
    if not refused:
        project.create()
        state.check_identity(project.root, project.settings)
        return
    with pytest.raises(StoreError, match=refused):
        project.open(create=True)
    with pytest.raises(StoreError, match=refused):
        state.check_identity(project.root, project.settings)


def test_a_state_without_identity_belongs_to_the_lake_that_has_all_its_files(
    project: Project,
) -> None:
    """Would catch: the state of an earlier version that is refused beside its own lake, or that is
    taken for that of a lake which lacks one of its files.
    """
    project.create()
    state.mark_lake(project.lake, "b" * 32, "test")
    first, second = project.publish("a", "b")
    with project.read() as tx:
        assert state.lake_fits(tx, project.lake)
    project.open().close()
    second.rename(second.with_suffix(".away"))
    with project.read() as tx:
        assert not state.lake_fits(tx, project.lake)
    refused = r"\(a state of an earlier version, whose files aren't there\) isn't that of"
    with pytest.raises(StoreError, match=refused):
        project.open()
    with pytest.raises(StoreError, match=refused):
        state.check_identity(project.root, project.settings)
    first.unlink()  # no file at all: there is nothing to mix up
    project.open().close()


def test_a_state_that_knows_no_file_fits_no_lake(project: Project) -> None:
    """Would catch: a fresh state that takes over a lake with files."""
    project.create()
    with project.read() as tx:
        assert not state.lake_fits(tx, project.lake)
    project.publish("a")
    with project.write() as tx:
        tx.execute("update ducklake_data_file set end_snapshot = 1")
        assert not state.lake_fits(tx, project.lake)


def test_a_lake_without_any_of_the_files_is_taken_for_one_that_is_not_mounted(
    project: Project,
) -> None:
    """Would catch: a missing mount under which everything is computed anew, and a lake refused for
    one lost file of two.
    """
    project.create()
    project.open().close()
    first, second = project.publish("a", "b")
    project.open().close()
    first.unlink()
    project.open().close()
    with project.read() as tx:
        assert state.describe_empty_lake(tx, project.lake, WHERE) == ""
    second.unlink()
    with project.read() as tx:
        assert state.describe_empty_lake(tx, project.lake, WHERE) == (
            f"the lake {project.lake} is empty although the state {WHERE} knows 2 files in it;"
            " is it mounted?"
        )
    for command in (project.open, lambda: state.check_identity(project.root, project.settings)):
        with pytest.raises(StoreError, match=r"knows 2 files in it; is it mounted\?") as caught:
            command()
        assert "Nothing is read or written" in str(caught.value)
        assert caught.value.hint.startswith("mount it")
    project.open(lake_may_be_empty=True).close()
    with project.write() as tx:
        state.set_identity(tx, "a" * 32)
    state.mark_lake(project.lake, "a" * 32, "test")
    project.open().close()


def test_rows_given_up_are_not_waited_for(project: Project) -> None:
    """Would catch: a project that no command opens any more, after its last unreadable file was
    given up.
    """
    project.create()
    (only,) = project.publish("a")
    only.unlink()
    with pytest.raises(StoreError, match="knows 1 file in it"):
        project.open()
    project.give_up(only)
    project.open().close()


@ONLY_SQLITE
def test_a_refused_state_is_closed(project: Project) -> None:
    """Would catch: connections that stay open in a server which tries again each minute. SQLite
    removes its log when the last of them is closed.
    """
    project.create()
    with project.write() as tx:
        state.set_identity(tx, "a" * 32)
    state.mark_lake(project.lake, "b" * 32, "test")
    log = project.root / ".headrace/state.db-wal"
    with Store.open(project.root, project.settings) as store, store.write(None) as tx:
        tx.execute("insert into meta (key, value) values ('x', 'y')")
        assert log.exists()
    assert not log.exists()
    with pytest.raises(StoreError, match="isn't that of the lake") as opening:
        project.open(create=True)
    assert not log.exists(), opening
    with pytest.raises(StoreError, match="isn't that of the lake") as checking:
        state.check_identity(project.root, project.settings)
    assert not log.exists(), checking


def test_the_address_may_hold_a_secret(project: Project, tmp_path: Path) -> None:
    """Would catch: an address with a reference that `open_state` resolves and `db check` doesn't."""
    project.create()
    (tmp_path / "address").write_text(f"{project.settings.store_url}\n")
    project.settings = msgspec.structs.replace(project.settings, store_url="secret://file/address")
    project.open().close()
    assert state.state_exists(project.root, project.settings)
    state.check_identity(project.root, project.settings)
