"""The state and the data folder: reachable, private, with room, on a clock that agrees."""

from __future__ import annotations

import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from headrace.govern.state import state_exists
from headrace.model import HeadraceError, StoreError
from headrace.model.environments import PRODUCTION
from headrace.model.times import parse_duration
from headrace.observe.damaged import damaged_files
from headrace.operations import automatic_backup
from headrace.operations.damaged_files import again
from headrace.operations.examinations.finding import ExaminationFinding, fail, ok, warn
from headrace.operations.moved import CORRECT, moved
from headrace.operations.session import ProjectSession
from headrace.store.lease import holder
from headrace.store.queries import checking

FREE_BYTES_LEAST = 500 * 2**20
FREE_BYTES_ENOUGH = 5 * 2**30
SKEW_SECONDS_WARN = 2.0
SKEW_SECONDS_FAIL = 60.0
OVERDUE = 2
"""Times `[backup] every` after which the last one is too old."""
NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "glusterfs", "lustre")
"""File systems whose locks SQLite can't rely on."""


def state(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Where everything is kept."""
    yield from _store(session)
    folder = _there(session.data_folder)
    yield _disk(folder)
    yield _file_system(folder)
    yield _clock(folder)
    if session.data_folder.is_dir():
        yield _private(session.data_folder)
    yield _writable("lake", session.folders.lake)
    yield from _damaged(session)
    yield from _backups(session)


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _store(session: ProjectSession) -> Iterator[ExaminationFinding]:
    try:
        if not state_exists(session.root, session.settings):
            yield warn("store", "there is none yet", "the first headrace tick makes it")
            return
        store = session.store
        assert store is not None
        clock = session.clock
        with store.read() as tx:
            leader = holder(tx)
            elsewhere = moved(session, tx)
            checksums = checking.page_checksums(tx)
    except (StoreError, HeadraceError) as error:
        yield fail("store", str(error), error.hint)
        return
    yield ok("store", f"reachable, {clock.kind.value} clock")
    if elsewhere:
        yield fail("lake's place", elsewhere, CORRECT)
    ahead_s = (clock.now_us() - time.time_ns() // 1000) / 1e6 if not session.replay else 0.0
    if ahead_s > SKEW_SECONDS_WARN:
        yield warn("store's clock", f"{ahead_s:,.0f} s ahead of the machine's", "the machine's clock was set back; it catches up by itself")
    if leader is not None:
        yield ok("leader", leader.name)
    else:
        yield ok("leader", "none runs now")
    if checksums is False:
        todo = "stop the server, pg_checksums --enable, start it: then it finds bits that flipped on its disk"
        yield warn("checksums", "PostgreSQL doesn't check its pages (data_checksums is off)", todo)
    elif checksums:
        yield ok("checksums", "PostgreSQL checks its pages (data_checksums is on)")


def _disk(folder: Path) -> ExaminationFinding:
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:,.1f} GiB free at {folder}"
    if free < FREE_BYTES_LEAST:
        return fail("disk", text, "make room: publishing stops when it is full")
    if free < FREE_BYTES_ENOUGH:
        return warn("disk", text, "make room, or shorten [retention]")
    return ok("disk", text)


def _file_system(folder: Path) -> ExaminationFinding:
    kind = _kind_of(folder)
    if kind in NETWORK:
        return warn("file system", f"{folder} is on {kind}", "SQLite needs a local disk: keep the state in PostgreSQL, or move the project")
    return ok("file system", kind or "not known")


def _kind_of(folder: Path) -> str:
    """The type of the file system, where /proc tells."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    mounts = [(fields[1].replace("\\040", " "), fields[2]) for line in lines if len(fields := line.split()) > 2]
    above = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]), default=("", ""))[1]


def _clock(folder: Path) -> ExaminationFinding:
    """The machine's clock against that of the file system, which deliveries' times come from."""
    try:
        before = time.time()
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            stamped = Path(file.name).stat().st_mtime
        skew = max(0.0, before - stamped - 0.1, stamped - time.time() - 0.1)
    except OSError as error:
        return fail("clock", f"no file can be made in {folder}: {error.strerror}", "look at its permissions")
    if skew > SKEW_SECONDS_WARN:
        kind = fail if skew > SKEW_SECONDS_FAIL else warn
        return kind("clock", f"{skew:,.0f} s apart from the file system's", "let NTP set the clocks of both machines")
    return ok("clock", "agrees with the file system's")


def _private(folder: Path) -> ExaminationFinding:
    """What others on the machine can read: the catalog holds values of the data."""
    open_to = [path for path in (*folder.glob("state.db*"), *folder.glob("*.sock")) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if open_to:
        return warn("permissions", f"{open_to[0].name} can be read by others", f"chmod 600 {open_to[0]}")
    return ok("permissions", "the state is its owner's alone")


def _writable(name: str, folder: Path) -> ExaminationFinding:
    there = _there(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".doctor-"):
            return ok(name, f"{folder} can be written")
    except OSError as error:
        return fail(name, f"{there} can't be written: {error.strerror}", "look at its owner and permissions")


def _damaged(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """What looks at the lake's files have found; nothing where all that were looked at are as they were published."""
    try:
        if session.store is None:
            return
        compiled = None if session.env == PRODUCTION else session.compiled
        then = "headrace incidents names the repair"
        with session.store.read() as tx:
            files = damaged_files(tx)
            if files and compiled is not None:
                then = again(session.env, compiled.project, tx, files[0].node, files[0].id)
    except HeadraceError:
        return  # the state can't be read, and that is a finding already
    if files:
        file = files[0]
        more = f" (and {len(files) - 1} more)" if len(files) > 1 else ""
        yield fail("lake's files", f"{file.path} of {file.node}{more}: {file.wrong}", then)


def _backups(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """When the last one was made by itself."""
    if session.store is None:
        return
    every = session.settings.backup.every
    if session.replay:
        yield ok("backups", "a replay makes none by itself")
        return
    if every is None:
        yield warn("backups", "are off ([backup] every)", 'every = "1d", or headrace db backup DIR by a job of your own')
        return
    backups = automatic_backup.own(session.root, session.settings)
    where = automatic_backup.folder_of(session.root, session.settings)
    if not backups:
        yield warn("backups", f"none was made yet in {where}", "headrace tick makes one when it ends")
        return
    newest = backups[0].manifest.made
    text = f"the last of {len(backups)} was made at {newest.strftime('%Y-%m-%d %H:%M UTC')}, in {where}"
    late = time.time() - newest.timestamp() > OVERDUE * parse_duration(every).total_seconds()
    yield warn("backups", text, "headrace tick makes one when it ends, and says why if it can't") if late else ok("backups", text)
