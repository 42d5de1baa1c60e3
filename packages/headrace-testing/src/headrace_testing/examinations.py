"""Areas that `doctor` examines: state and data folder, machine, folders of sources and exports."""

from __future__ import annotations

import contextlib
import enum
import os
import resource
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headrace.access.permissions import rules_of
from headrace.connect.files import observe
from headrace.extension import (
    Asset,
    Consumer,
    ProjectSession,
    PythonBody,
    Source,
    SqlBody,
    counted,
    first_line,
)
from headrace.model import HeadraceError, Project, StoreError
from headrace.model.nodes import SandboxMode
from headrace.model.settings import PRODUCTION
from headrace.model.times import duration, parse_duration
from headrace.project.lake_files import CORRECT, moved, recompute_command
from headrace.runtime import backups as services_backups
from headrace.runtime import clock_jumps
from headrace.runtime.messages import FailedOutcome, StagedOutcome
from headrace.security.state import state_exists
from headrace.slo.damaged_files import damaged_files
from headrace.slo.freshness import usual_gap
from headrace.sql.engine_faults import ENGINE_FAULTS
from headrace.store.lease import holder
from headrace.store.queries import audit_trail, deliveries, freezes, incidents

if TYPE_CHECKING:
    from headrace.engine.sandbox import Protections

# One examined item and its state.


class ExaminationState(enum.StrEnum):
    """Severity: `fail` prevents something from running now, `warn` may do so later."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


class ExaminationFinding(NamedTuple):
    """A finding: the examined item, its state, and what to do if it isn't ok."""

    name: str
    state: ExaminationState
    detail: str
    todo: str = ""


def ok(name: str, detail: str) -> ExaminationFinding:
    """Return a finding without anything to do."""
    return ExaminationFinding(name, ExaminationState.OK, detail)


def warn(name: str, detail: str, todo: str) -> ExaminationFinding:
    """Return a finding on something that works now, but may fail later."""
    return ExaminationFinding(name, ExaminationState.WARN, detail, todo)


def fail(name: str, detail: str, todo: str) -> ExaminationFinding:
    """Return a finding on something that prevents a run."""
    return ExaminationFinding(name, ExaminationState.FAIL, detail, todo)


def skipped(name: str, detail: str) -> ExaminationFinding:
    """Return a finding on something that can't be examined from here."""
    return ExaminationFinding(name, ExaminationState.SKIPPED, detail)


# The state and the data folder: reachable, private, with enough space, and with clocks that agree.

FREE_BYTES_LEAST = 500 * 2**20
FREE_BYTES_ENOUGH = 5 * 2**30
SKEW_SECONDS_WARN = 2.0
SKEW_SECONDS_FAIL = 60.0
OVERDUE = 2
"""Multiple of `[backup] every` after which the last backup is too old."""
NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "fuse.sshfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
)
"""File systems whose locks SQLite can't rely on."""


def state(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Examine the state and the data folder."""
    yield from _store(session)
    yield from _passes(session)
    folder = _there(session.data_folder)
    yield _disk(folder)
    yield _file_system(folder)
    yield _clock(folder)
    if session.data_folder.is_dir():
        yield _private(session.data_folder)
        yield from _closed_to_others(session)
    yield _writable("lake", session.folders.lake)
    yield from _damaged(session)
    yield from _backups(session)


def _there(folder: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
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
            checksums = audit_trail.page_checksums(tx)
            frozen = [item.subject for item in freezes.in_force(tx)]
    except (StoreError, HeadraceError) as error:
        yield fail("store", str(error), error.hint)
        return
    yield ok("store", f"reachable, {clock.kind.value} clock")
    if elsewhere:
        yield fail("lake's place", elsewhere, CORRECT)
    yield from _ahead(session)
    if frozen:
        who = ", ".join("everybody but admins" if name == "*" else name for name in frozen)
        yield warn("frozen", f"{who}: commands and requests are refused", "headrace unfreeze WHO")
    yield ok("leader", "none runs now" if leader is None else leader.name)
    yield from _checksums(checksums)


def _ahead(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Examine whether the store's clock is ahead of the machine's."""
    ahead_s = 0.0 if session.replay else session.clock.now_us() / 1e6 - time.time()
    if days := session.clock.days_ahead():
        yield fail(
            "store's clock",
            f"{counted(days, 'day')} ahead of the machine's: one of the two is wrong, or was",
            "set the machine's clock if it is behind; if it was once ahead, go back to before: "
            + (
                clock_jumps.repair_of(session.root, session.settings)
                or "headrace db restore, of a backup of your own"
            ),
        )
    elif ahead_s > SKEW_SECONDS_WARN:
        yield warn(
            "store's clock",
            f"{ahead_s:,.0f} s ahead of the machine's",
            "the machine's clock was set back; it catches up by itself",
        )


def _passes(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Say how far apart passes usually are, unless `[run] tick_every` or a server does."""
    with contextlib.suppress(HeadraceError):  # the unreadable state is a finding already
        compiled = session.compiled
        if session.store is None or compiled is None or session.settings.tick_every:
            return
        with session.store.read() as tx:
            seen = [
                [look.at for look in deliveries.observations(tx, name)]
                for name in compiled.project.sources
            ]
            gaps = [gap for times in seen if (gap := usual_gap(times)) is not None]
            if gaps and holder(tx) is None:
                text = f"usually at most {duration(max(gaps))} apart"
                yield ok("passes", f"{text}; `[run] tick_every` says it for certain")


def _checksums(checksums: bool | None) -> Iterator[ExaminationFinding]:
    """Say whether PostgreSQL checks its pages; nothing for SQLite."""
    if checksums is False:
        todo = (
            "stop the server, pg_checksums --enable, start it: then it finds bits that flipped on"
            " its disk"
        )
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
        return warn(
            "file system",
            f"{folder} is on {kind}",
            "SQLite needs a local disk: keep the state in PostgreSQL, or move the project",
        )
    return ok("file system", kind or "not known")


def _kind_of(folder: Path) -> str:
    """Return the type of the file system from /proc/mounts; empty if unknown."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    mounts = [
        (fields[1].replace("\\040", " "), fields[2])
        for line in lines
        if len(fields := line.split()) > 2
    ]
    above = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]), default=("", ""))[1]


def _clock(folder: Path) -> ExaminationFinding:
    """Compare the machine's clock with the file system's, which sets deliveries' times."""
    try:
        before = time.time()
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            stamped = Path(file.name).stat().st_mtime
        skew = max(0.0, before - stamped - 0.1, stamped - time.time() - 0.1)
    except OSError as error:
        return fail(
            "clock", f"no file can be made in {folder}: {error.strerror}", "look at its permissions"
        )
    if skew > SKEW_SECONDS_WARN:
        kind = fail if skew > SKEW_SECONDS_FAIL else warn
        return kind(
            "clock",
            f"{skew:,.0f} s apart from the file system's",
            "let NTP set the clocks of both machines",
        )
    return ok("clock", "agrees with the file system's")


def _private(folder: Path) -> ExaminationFinding:
    """Examine which files other users can read: the catalog holds values of the data."""
    open_to = [
        path
        for path in (*sorted(folder.glob("state.db*")), *folder.glob("*.sock"))
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    if open_to:
        return warn(
            "permissions", f"{open_to[0].name} can be read by others", f"chmod 600 {open_to[0]}"
        )
    return ok("permissions", "the state is its owner's alone")


def _closed_to_others(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Examine, if there are roles, whether others can read rows past them in the folders."""
    if rules_of(session) is None:
        return
    folders = [
        folder
        for folder in dict.fromkeys((session.data_folder, session.folders.lake))
        if folder.is_dir()
    ]
    for folder in folders:
        facts = folder.stat()
        if stat.S_IMODE(facts.st_mode) & 0o077 and not _is_closed_above(folder, session.root):
            yield fail(
                "roles",
                f"other users of this machine can read {folder}, whatever access.yaml says",
                f"chmod 700 {folder}",
            )
            return
        if facts.st_uid != os.geteuid():
            yield fail(
                "roles",
                f"{folder} belongs to another user, who can read it whatever access.yaml says",
                f"run Headrace as the user {facts.st_uid}, or chown the folder",
            )
            return
    yield ok("roles", "only the user of Headrace can read the state and the lake")


def _is_closed_above(folder: Path, root: Path) -> bool:
    """Whether the project's folder, or one between it and this one, keeps other users out."""
    return any(
        not stat.S_IMODE(parent.stat().st_mode) & 0o077
        for parent in folder.parents
        if parent.is_relative_to(root)
    )


def _writable(name: str, folder: Path) -> ExaminationFinding:
    there = _there(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".doctor-"):
            return ok(name, f"{folder} can be written")
    except OSError as error:
        return fail(
            name, f"{there} can't be written: {error.strerror}", "look at its owner and permissions"
        )


def _damaged(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Report a damaged lake file that earlier checks found."""
    try:
        if session.store is None:
            return
        compiled = None if session.env == PRODUCTION else session.compiled
        then = "headrace incidents names the repair"
        with session.store.read() as tx:
            files = damaged_files(tx)
            if files and compiled is not None:
                then = recompute_command(
                    session.env, compiled.project, tx, files[0].node, files[0].id
                )
    except HeadraceError:
        return  # the unreadable state is a finding already
    if files:
        file = files[0]
        more = f" (and {len(files) - 1} more)" if len(files) > 1 else ""
        yield fail("lake's files", f"{file.path} of {file.node}{more}: {file.wrong}", then)


def _backups(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Examine the age of the last automatic backup."""
    if session.store is None:
        return
    every = session.settings.backup.every
    if session.replay:
        yield ok("backups", "a replay makes none by itself")
        return
    if every is None:
        yield warn(
            "backups",
            "are off ([backup] every)",
            'every = "1d", or headrace db backup DIR by a job of your own',
        )
        return
    backups = services_backups.own_backups(session.root, session.settings)
    where = services_backups.folder_of(session.root, session.settings)
    if not backups:
        yield warn(
            "backups", f"none was made yet in {where}", "headrace tick makes one when it ends"
        )
        return
    newest = backups[0].manifest.backup_time
    text = (
        f"the last of {len(backups)} was made at {newest.strftime('%Y-%m-%d %H:%M UTC')}, in"
        f" {where}"
    )
    late = time.time() - newest.timestamp() > OVERDUE * parse_duration(every).total_seconds()
    yield (
        warn("backups", text, "headrace tick makes one when it ends, and says why if it can't")
        if late
        else ok("backups", text)
    )


# The machine: Python, DuckDB and its extensions, limits, time zones, and whether a worker can
# start.

FILES_LEAST = 1024
"""Minimum limit of open files for a leader with its workers."""
WORKER_SECONDS_MAX = 10.0
EXTENSIONS = ("ducklake", "sqlite_scanner")


def machine(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Examine everything that doesn't depend on the project's state."""
    yield _python()
    yield from _duckdb()
    yield _open_files()
    yield from _zones(session)
    yield _worker(session)
    yield from _sandbox(session)


def _python() -> ExaminationFinding:
    version = ".".join(map(str, sys.version_info[:3]))
    return ok(
        "Python", f"{version} at {sys.executable}"
    )  # an older Python couldn't load this module


def _sandbox(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Examine what asset code is kept from, by a restricted process that tries it."""
    from headrace.engine import sandbox
    from headrace.engine.query_thread import query_protections

    name = "asset code"
    try:
        project = session.declared().project
    except HeadraceError:  # the area of the state reports it
        project = None
    if session.settings.sandbox == SandboxMode.OFF:
        yield warn(
            name,
            '`[run] sandbox = "off"`: Python and commands may read and write all that their user'
            " may; SQL is restricted by DuckDB's settings only",
            'sandbox = "on", and declare what single assets need',
        )
        return
    if not sandbox.available():
        yield warn(
            name,
            "this system can't restrict it (no Landlock): Python and commands may read and write"
            " all that their user may; SQL is restricted by DuckDB's settings only",
            "run on Linux 5.13 or newer, in a container that allows Landlock",
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        yield _protections("SQL assets", query_protections(Path(folder)), ports="TCP connections")
    with tempfile.TemporaryDirectory() as folder:
        held = sandbox.protections(Path(folder))
    yield _protections("commands", held, ports=_PORTS, also=_NETWORK)
    if session.settings.sandbox == SandboxMode.ON:
        yield _protections("Python assets", held, ports=_PORTS, also=_NETWORK)
    elif project is None or any(isinstance(a.body, PythonBody) for a in project.assets.values()):
        yield skipped(
            "Python assets",
            'may read and write all that their user may; `[run] sandbox = "on"` restricts them',
        )
    for asset in project.assets.values() if project is not None else ():
        yield from _exceptions(asset, held, session.settings.sandbox)


def _exceptions(asset: Asset, held: Protections, mode: str) -> Iterator[ExaminationFinding]:
    if asset.sandbox is not None and asset.sandbox.off:
        yield skipped(f"asset {asset.name}", f"runs unrestricted: {asset.sandbox.off}")
    elif asset.sandbox is not None and asset.sandbox.hosts is not None:
        yield from _hosts(asset, held, mode)


def _hosts(asset: Asset, held: Protections, mode: str) -> Iterator[ExaminationFinding]:
    """Examine whether an asset's declared hosts are more than a record."""
    if isinstance(asset.body, PythonBody) and mode != SandboxMode.ON:
        yield warn(
            f"asset {asset.name}",
            "its `hosts` have no effect: Python assets run unrestricted",
            '`[run] sandbox = "on"` restricts them',
        )
    elif not held.ports:
        yield warn(
            f"asset {asset.name}",
            "its `hosts` are recorded, not enforced: this kernel has no rules for TCP",
            "run on Linux 6.7 or newer",
        )


_PORTS = "TCP ports beside those of `ports`"
_NETWORK = "without `ports` or `hosts` the network is open"


def _protections(name: str, held: Protections, *, ports: str, also: str = "") -> ExaminationFinding:
    texts = {
        "reading other files": held.reading,
        "changing other files": held.writing,
        ports: held.ports,
        "signals to other processes": held.signals,
        "the kernel's keyring": held.keyring,
    }
    refused = ", ".join(text for text, holds in texts.items() if holds) or "nothing"
    possible = ", ".join(text for text, holds in texts.items() if not holds)
    detail = f"the kernel refuses {refused}"
    if not possible:
        return ok(name, "; ".join(filter(None, [detail, also])))
    return warn(
        name,
        f"{detail}; possible: {possible}",
        "run on a newer Linux: truncation needs 6.2, ports need 6.7, signals need 6.12",
    )


def _duckdb() -> Iterator[ExaminationFinding]:
    import duckdb

    from headrace.lake.session import load

    requirement = next(
        (text for text in metadata.requires("headrace") or () if text.startswith("duckdb==")), ""
    )
    if requirement and requirement.partition("==")[2].split(";")[0].strip() != duckdb.__version__:
        yield fail(
            "DuckDB", f"{duckdb.__version__}, needed is {requirement}", f"pip install {requirement}"
        )
    else:
        yield ok("DuckDB", duckdb.__version__)
    for way, is_refused in (("refused", True), ("avoided", False)):
        yield ok(
            f"DuckDB's wrong results, {way}",
            ", ".join(each.source for each in ENGINE_FAULTS if bool(each.instead) is is_refused)
            + " (docs/limits.md)",
        )
    connection = duckdb.connect()
    for name in EXTENSIONS:
        try:
            load(connection, name)
        except (HeadraceError, duckdb.Error) as error:
            yield fail(
                f"extension {name}",
                first_line(error),
                getattr(error, "hint", "") or "install Headrace again",
            )
        else:
            yield ok(f"extension {name}", "loads")
    connection.close()


def _open_files() -> ExaminationFinding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES_LEAST:
        return warn(
            "open files",
            f"at most {soft:,}",
            f"ulimit -n {min(hard, 4096) if hard > 0 else 4096} where Headrace is started",
        )
    return ok("open files", f"at most {soft:,}")


def _zones(session: ProjectSession) -> Iterator[ExaminationFinding]:
    names = {session.timezone}
    with contextlib.suppress(HeadraceError):  # another area reports it
        names |= _zones_of(session.declared().project)
    unknown = []
    for name in sorted(names):
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            unknown.append(name)
    if unknown:
        yield fail(
            "time zones",
            f"no data for {', '.join(unknown)}",
            "install your system's tzdata, or pip install tzdata",
        )
    else:
        yield ok("time zones", ", ".join(sorted(names)))


def _zones_of(project: Project | None) -> set[str]:
    if project is None:
        return set()
    return {
        node.timezone
        for group in (project.sources, project.assets, project.consumers)
        for node in group.values()
        if node.timezone
    }


def _worker(session: ProjectSession) -> ExaminationFinding:
    """Run one real task in one real worker, in a temporary folder."""
    from headrace.engine import AttemptScope
    from headrace.runtime.executors import TaskFinished
    from headrace.runtime.executors.pool import Pool
    from headrace.runtime.folders import Folders
    from headrace.runtime.leadership import worker_settings
    from headrace.runtime.messages import ComputeTask
    from headrace.scheduler import AttemptId

    scope = AttemptScope("doctor", ("*",), None, None, None, session.timezone, "0.1")
    task = ComputeTask(
        scope,
        SqlBody(text="select 1 as one", file="doctor"),
        "select 1 as one",
        None,
        (),
        "table",
        None,
        None,
        False,
        (),
        "reject",
    )
    started = time.perf_counter()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Pool(worker_settings(Folders(str(session.root), folder), 1), 1) as pool,
        ):
            Path(folder, "lake").mkdir()
            pool.submit(AttemptId(0, 1), task)
            news = pool.wait(WORKER_SECONDS_MAX)
            while not news and time.perf_counter() - started < WORKER_SECONDS_MAX:
                news = pool.wait(WORKER_SECONDS_MAX)
            answer = news[0] if news else None
    except (HeadraceError, OSError) as error:
        return fail(
            "workers",
            str(error),
            getattr(error, "hint", "")
            or "python -m headrace.runtime.fork_server must be able to start",
        )
    took = time.perf_counter() - started
    outcome = answer.outcome if isinstance(answer, TaskFinished) else None
    if isinstance(outcome, StagedOutcome):
        return ok("workers", f"one started and computed a row in {took:.1f} s")
    text = (
        outcome.error.message
        if isinstance(outcome, FailedOutcome)
        else f"no answer in {took:.0f} s"
    )
    return fail("workers", text, "look at memory limits and at the temporary folder (TMPDIR)")


# Folders of sources and of exports.


def outside(session: ProjectSession) -> Iterator[ExaminationFinding]:
    """Examine each source and each export on this machine."""
    project = session.declared().project
    if project is None:
        return
    for source in project.sources.values():
        yield _source(session.root, source)
    failing = _failing_exports(session)
    for consumer in project.consumers.values():
        if consumer.name in failing:
            incident = failing[consumer.name]
            text = f"its last export failed: {incident} is open"
            yield fail(f"export {consumer.name}", text, f"headrace incident {incident}")
        elif consumer.export is not None:
            yield _export(session.root, consumer)


def _failing_exports(session: ProjectSession) -> dict[str, str]:
    """Return the open incident of each consumer that has one of its own: its export fails."""
    if session.store is None:
        return {}
    with session.store.read() as tx:
        opened = incidents.open_incidents(tx)
    return {
        incident.node: incident.label
        for incident in opened
        if incident.kind != "reported" and incident.state != "recovering"
    }


def _source(root: Path, source: Source) -> ExaminationFinding:
    name = f"source {source.name}"
    if source.files is None or "://" in source.files:
        return skipped(
            name, "is looked at by a worker; headrace connections test tries its connection"
        )
    folder = _literal(root, source.files)
    if not folder.is_dir():
        return warn(
            name,
            f"there is no folder {_short(root, folder)}",
            f"mkdir -p {_short(root, folder)}, or mend `files:` in {source.place.file}",
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        return fail(
            name, f"{_short(root, folder)} can't be read", "look at its owner and permissions"
        )
    try:
        seen = observe(root, source, known={})
    except HeadraceError as error:
        return fail(name, str(error), error.hint)
    if not seen.seen:
        return warn(
            name,
            f"no file matches {source.files}",
            f"look into {_short(root, folder)}, or mend `files:` in {source.place.file}",
        )
    return ok(name, f"{seen.seen:,} files match {source.files}")


def _export(root: Path, consumer: Consumer) -> ExaminationFinding:
    name = f"export {consumer.name}"
    target = (consumer.export or {}).get("to")
    if not isinstance(target, str) or "://" in target:
        return skipped(name, "goes elsewhere; headrace connections test tries its connection")
    folder = _literal(root, target)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        return fail(
            name, f"{_short(root, there)} isn't a folder", "move it, or write to another folder"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        return fail(
            name, f"{_short(root, there)} can't be written", "look at its owner and permissions"
        )
    return ok(name, f"{_short(root, folder)} can be written")


def _literal(root: Path, pattern: str) -> Path:
    """Return the pattern's folder up to the first wildcard or placeholder."""
    path = root
    for part in Path(pattern).parts[:-1]:
        if any(sign in part for sign in "{*?["):
            break
        path /= part
    return path


def _short(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
