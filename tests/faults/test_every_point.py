"""F1, F3: at every named point the process is killed, once, and once it fails there as on a broken
or a full disk.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import backfills_lab
import pytest
from campaign import AT_BODY, AT_FILE, AT_RUNTIME, finish_and_verify
from faults_lab import (
    ASSETS,
    CHECKPOINTS,
    DAYS,
    Ended,
    Project,
    World,
    leftovers_after_gc,
    verify,
)

from headrace.faults import FaultPoint
from headrace.store import Store
from headrace.store.engines.sqlite import SqliteEngine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
RENEWAL = (FaultPoint.LEASE_RENEWING, FaultPoint.LEASE_RENEWED)
REQUESTS = (FaultPoint.REQUEST_TAKEN, FaultPoint.REQUEST_ANSWERING)
MERGING = (FaultPoint.MERGE_STEP, FaultPoint.MAINTENANCE_MERGED)
SLICES = (
    FaultPoint.SLICE_WRITTEN,
    FaultPoint.SLICE_STAGED,
    FaultPoint.SLICE_REGISTERED,
    FaultPoint.SLICE_MERGED,
)
FEW_FILES = """import headrace.lake.catalog.small_merges as it
it.MERGED_AT_LEAST = 2
import headrace.runtime.small_merges as it
it.CURRENT_FILES_MAX = 2
"""
"""Three small files of a table are too many."""
SHORTENING = (
    FaultPoint.EVENT_LOG_COPIED,
    FaultPoint.EVENT_LOG_SHORTENING,
    FaultPoint.EVENT_LOG_SHORTENED,
)
COLLECTING = (
    FaultPoint.MAINTENANCE_EXPIRED,
    FaultPoint.MAINTENANCE_CLEANED,
    FaultPoint.WASTE_REMOVING,
    *SHORTENING,
)
OVERLAYS = (
    FaultPoint.OVERLAY_STAGED,
    FaultPoint.OVERLAY_FOUND,
    FaultPoint.OVERLAY_PROMOTED,
    FaultPoint.OVERLAY_TIDYING,
)
PROMOTING = (FaultPoint.ENVIRONMENT_PROMOTED,)
BACKUPS = (
    FaultPoint.BACKUP_COPIED,
    FaultPoint.BACKUP_WRITTEN,
    FaultPoint.BACKUP_NAMED,
    FaultPoint.BACKUP_ROTATING,
)
KEYS = (FaultPoint.KEYS_ROTATING, FaultPoint.KEYS_REWRAPPED)
"""Struck in tests/security/test_domain_keys.py."""
ERASURES = (
    FaultPoint.ERASURE_BEGUN,
    FaultPoint.ERASURE_REWRITTEN,
    FaultPoint.ERASURE_REGISTERED,
    FaultPoint.ERASURE_DELETING,
    FaultPoint.ERASURE_EXPORTED,
    FaultPoint.ERASURE_CERTIFIED,
    FaultPoint.RETENTION_REWRITTEN,
    FaultPoint.RETENTION_REGISTERED,
)
"""Killed in packages/headrace-erase/tests/test_erase.py."""
ALL = (
    *AT_RUNTIME, *AT_BODY, *AT_FILE, *RENEWAL, *REQUESTS, *MERGING, *SLICES, *COLLECTING,
    *OVERLAYS, *PROMOTING, *BACKUPS, *KEYS, *ERASURES,
)  # fmt: skip
ACTIONS = ("kill", "error", "full")
LIVE_DAYS = tuple(
    (datetime.now(UTC) - timedelta(days=back)).strftime("%Y-%m-%d") for back in (3, 2, 1)
)


def every(
    points: tuple[FaultPoint, ...], actions: tuple[str, ...] = ACTIONS
) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("point", "action"), [(point, action) for point in points for action in actions]
    )


def test_no_point_is_left_out() -> None:
    assert sorted(ALL) == sorted(FaultPoint)


def struck(project: Project, ended: Ended, action: str, *, worker: bool = False) -> None:
    """The fault struck, and the process ended as it should: a kill by its signal, a failure with a
    message and no traceback.
    """
    assert project.fired()
    if worker:
        assert ended.code == 0, ended.said
    elif action == "kill":
        assert ended.killed, ended
    else:
        assert ended.code == 1, ended
        assert "Traceback" not in ended.said


@every(AT_RUNTIME)
def test_the_runtime_at(
    point: FaultPoint, action: str, quiet: tuple[World, float], tmp_path: Path
) -> None:
    project = Project(tmp_path / "p").declare().preload(CHECKPOINTS)
    struck(project, project.tick(fault=f"{point}={action}"), action)
    finish_and_verify(project, quiet[0])


@every((*AT_BODY, *AT_FILE))
def test_a_worker_at(
    point: FaultPoint, action: str, quiet: tuple[World, float], tmp_path: Path
) -> None:
    """The run itself goes on: another worker does it again."""
    project = Project(tmp_path / "p").declare()
    struck(project, project.tick(fault=f"{point}={action}"), action, worker=True)
    finish_and_verify(project, quiet[0])


@every(RENEWAL)
def test_the_renewal_of_the_lease_at(
    point: FaultPoint, action: str, quiet: tuple[World, float], tmp_path: Path
) -> None:
    project = Project(tmp_path / "p").declare()
    ended = project.tick(HEADRACE_FAULT=f"{FaultPoint.TURN_DONE}:2=sleep:4,{point}={action}")
    assert ended.killed if action == "kill" else (ended.code == 1 and "Traceback" not in ended.said)
    finish_and_verify(project, quiet[0])


@every(REQUESTS, ("kill",))
def test_a_leader_that_is_asked_at(
    point: FaultPoint, action: str, quiet: tuple[World, float], tmp_path: Path
) -> None:
    """Who asked finds that the leader is gone, takes over and gets the answer."""
    project = Project(tmp_path / "p").declare()
    leader = project.start(
        "tick", *project.now, HEADRACE_FAULT=f"{FaultPoint.TURN_DONE}:2=sleep:3,{point}={action}"
    )
    while not project.sql_if_any("select 1 from run"):
        assert leader.poll() is None
    asked = project.run("run", "clean", *project.now)
    leader.communicate(timeout=60)
    assert leader.returncode < 0
    assert asked.code == 0, asked.said
    finish_and_verify(project, quiet[0])


@every(COLLECTING)
def test_the_garbage_collection_at(
    point: FaultPoint, action: str, quiet: tuple[World, float], tmp_path: Path
) -> None:
    project = Project(tmp_path / "p").declare()
    project.tick(fault="file.staged:3=kill")
    project.finish()
    project.fired()
    project.age()
    struck(project, project.run("db", "gc", fault=f"{point}={action}"), action)
    verify(project, quiet[0])
    assert leftovers_after_gc(project) == set()
    verify(project, quiet[0])


@every((*MERGING, *SHORTENING))
def test_the_nightly_maintenance_at(point: FaultPoint, action: str, tmp_path: Path) -> None:
    """In the present: a replay doesn't merge. The lake is looked after at the end of a tick."""
    project = Project(tmp_path / "p", now=None).declare(LIVE_DAYS)
    assert project.tick().code == 0
    wanted = project.world()
    with Store(SqliteEngine(project.data / "state.db")) as store, store.write(None) as tx:
        tx.execute("update meta set value = '0' where key = 'upkeep_at'")
    ended = project.tick(fault=f"{point}={action}")
    assert project.fired()
    assert ended.killed or "Traceback" not in ended.said
    verify(project, wanted)
    project.finish()
    assert project.sql("select value > '1' from meta where key = 'upkeep_at'") == [(1,)]
    verify(project, wanted)
    assert leftovers_after_gc(project) == set()
    assert len(DAYS) == len(LIVE_DAYS)


@every(SLICES)
def test_a_merge_of_small_files_at(point: FaultPoint, action: str, tmp_path: Path) -> None:
    """At the end of a tick; the next tick merges what this one hasn't."""
    project = Project(tmp_path / "p", now=None).declare(LIVE_DAYS)
    assert project.tick().code == 0
    wanted = project.world()
    project.preload(FEW_FILES)
    ended = project.tick(fault=f"{point}={action}")
    assert project.fired()
    assert ended.killed or "Traceback" not in ended.said
    verify(project, wanted)
    project.finish()
    merged = "select count(*) from ducklake_data_file where partial_max is not null"
    assert project.sql(merged) > [(2,)]
    verify(project, wanted)
    assert leftovers_after_gc(project) == set()
    verify(project, wanted)


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory: pytest.TempPathFactory) -> backfills_lab.Wanted:
    return backfills_lab.undisturbed(tmp_path_factory.mktemp("backfilled"))


@every(OVERLAYS)
def test_a_backfill_at(
    point: FaultPoint, action: str, backfilled: backfills_lab.Wanted, tmp_path: Path
) -> None:
    project = backfills_lab.applied(tmp_path / "p")
    ended = project.run(*backfills_lab.command(project), fault=f"{point}={action}")
    struck(project, ended, action)
    backfills_lab.nothing_half_visible(project, backfilled)
    backfills_lab.finish(project, backfilled)


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> World:
    """What production is after a change that an environment has built was applied."""
    project = built_in_dev(tmp_path_factory.mktemp("promoted") / "p")
    assert project.document("apply", "--yes", *project.now)["promoted"]
    project.finish()
    return project.world()


def built_in_dev(root: Path) -> Project:
    """A published project, and a change that its environment `dev` has computed."""
    project = backfills_lab.declared(root, DAYS)
    with (root / "headrace.toml").open("a") as settings:
        settings.write("[environments.dev]\nworkers = 1\n")
    project.finish()
    front, body = ASSETS["clean"]
    changed = body.replace("cast(amount as", "cast(3 * amount as")
    (root / "assets/clean.sql").write_text(f"/* headrace\nowner: core\n{front}\n*/\n{changed}\n")
    assert project.run("tick", "--env", "dev", *project.now).code == 0
    return project


@every(PROMOTING)
def test_a_promotion_at(point: FaultPoint, action: str, promoted: World, tmp_path: Path) -> None:
    """What wasn't promoted is offered again by the next `apply`."""
    project = built_in_dev(tmp_path / "p")
    before = project.world()
    struck(project, project.run("apply", "--yes", *project.now, fault=f"{point}={action}"), action)
    assert project.world().rows == before.rows, "half of a promotion is visible"
    assert project.document("apply", "--yes", *project.now)["promoted"]
    project.finish()
    verify(project, promoted)


@every(BACKUPS)
def test_a_backup_at(point: FaultPoint, action: str, tmp_path: Path) -> None:
    """In the present: a replay makes no backups. A failed one doesn't fail the tick."""
    project = Project(tmp_path / "p", now=None).declare(LIVE_DAYS)
    with (project.root / "headrace.toml").open("a") as settings:
        settings.write('[backup]\nevery = "1h"\nkeep = 1\n')
    assert project.tick().code == 0
    wanted = project.world()
    make_older(project)
    ended = project.tick(fault=f"{point}={action}")
    assert project.fired()
    assert ended.killed if action == "kill" else (ended.code == 0 and "Traceback" not in ended.said)
    verify(project, wanted)
    make_older(project)
    assert project.tick().code == 0
    assert len(backups(project)) == 1
    halves = [path.name for path in (project.data / "backups").glob(".*") if path.name != ".lock"]
    assert halves == []
    project.document("db", "restore", str(backups(project)[0]), "--force")
    verify(project, wanted)


def backups(project: Project) -> list[Path]:
    return [path for path in (project.data / "backups").iterdir() if not path.name.startswith(".")]


def make_older(project: Project) -> None:
    """As if the backups had been made two hours earlier: another one is due."""
    for folder in backups(project):
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["made_at"] -= 2 * 3_600_000_000
        (folder / "manifest.json").write_text(json.dumps(manifest))
