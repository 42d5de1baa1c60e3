"""`apply` does the plan that was agreed to, or nothing: with a server and without one, whatever
happens in between.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from runlab import DAYS, Lab, built_once
from serve_lab import serving

from headrace.access import agreements
from headrace.model import HeadraceError, ProjectError, UsageError
from headrace.project.session import ProjectSession, Silent
from headrace.responses import ApplyResponse, PlanResponse
from headrace.services.apply import apply
from headrace.services.plans import plan

BODY = "select order_id, amount * {} as amount, day from orders"
SETTINGS = (
    '[project]\nname = "lab"\ntimezone = "UTC"\n[run]\nworkers = 1\nlook_every ='
    ' "1h"\n[environments.dev]\nworkers = 1\n'
)
Happens = Callable[[Lab], object]


def two_days(lab: Lab) -> Lab:
    """Two days are published; the file of `clean` says `amount * 2` by now."""
    lab.write("headrace.toml", SETTINGS + (f'[store]\nurl = "{lab.url}"\n' if lab.database else ""))
    lab.write("consumers.yaml", "- {consumer: report, owner: core, reads: [clean], due: '12:00'}\n")
    lab.sql("clean", BODY.format(1))
    for day in DAYS[:2]:
        lab.orders(day)
    lab.tick()
    lab.sql("clean", BODY.format(2))
    return lab


@built_once
def in_sqlite(root: Path) -> Lab:
    return two_days(Lab(root))


@pytest.fixture
def in_postgresql(postgresql_lab: Lab) -> Lab:
    return two_days(postgresql_lab)


@pytest.fixture(params=["in_sqlite", pytest.param("in_postgresql", marks=pytest.mark.slow)])
def two_days_lab(request: pytest.FixtureRequest) -> Lab:
    result: Lab = request.getfixturevalue(request.param)
    return result


@pytest.fixture(params=["alone", "with a server"])
def changed(request: pytest.FixtureRequest, two_days_lab: Lab) -> Iterator[Lab]:
    """A server runs, or none does."""
    with ExitStack() as stack:
        if request.param == "with a server":
            stack.enter_context(serving(two_days_lab.root))
        yield two_days_lab


def shown(lab: Lab) -> PlanResponse:
    return plan(lab.session(), against=None, progress=Silent())


def agreed(lab: Lab, plan_id: str | None = None, meanwhile: Happens | None = None) -> ApplyResponse:
    """`apply` by somebody who agrees to what is shown; `meanwhile` happens while the question
    stands."""

    def confirm(_: PlanResponse) -> bool:
        if meanwhile is not None:
            meanwhile(lab)
        return True

    return apply(lab.session(), confirm=confirm, progress=Silent(), plan_id=plan_id)


def versions(lab: Lab) -> list[tuple[int, str]]:
    return [
        (number, plan_id)
        for number, plan_id in lab.rows("select id, plan_id from version order by id")
    ]


def in_force(lab: Lab) -> str:
    """The text of `clean` that is stored for the newest version."""
    ((manifest,),) = lab.rows("select manifest from version order by id desc limit 1")
    ((data,),) = lab.rows(
        "select bytes from content where hash = ?",
        msgspec.json.decode(manifest)["assets/clean.sql"],
    )
    return bytes(data).decode()


def test_what_was_shown_is_what_is_applied_and_recorded(changed: Lab) -> None:
    looked = shown(changed)
    assert looked.plan_id is not None and looked.base_version == 1
    assert {(row.path, row.change) for row in looked.files if row.change != "unchanged"} == {
        ("assets/clean.sql", "changed")
    }
    done = agreed(changed, looked.plan_id)
    assert (done.state, done.plan_id, done.version, done.steps_done, done.refused) == (
        "applied",
        looked.plan_id,
        2,
        len(looked.steps),
        None,
    )
    assert versions(changed)[-1] == (2, looked.plan_id)
    after = changed.headrace("audit", "show", "--action", "project.applied", "--limit", "1")[0][
        "after"
    ]
    assert (after["plan_id"], after["base_version"]) == (looked.plan_id, 1)
    assert [(row["kind"], row["node"]) for row in after["steps"]] == [
        (row.kind, row.node) for row in looked.steps
    ]
    again = agreed(changed, looked.plan_id)
    assert (again.state, again.version, again.refused) == ("nothing", 2, None)


def saved(lab: Lab) -> None:
    lab.sql("clean", BODY.format(1000))


def replaced_by_a_link(lab: Lab) -> None:
    path = lab.root / "assets/clean.sql"
    (lab.root / "elsewhere.txt").write_text(path.read_text())
    path.unlink()
    path.symlink_to(lab.root / "elsewhere.txt")


def replaced_by_a_folder(lab: Lab) -> None:
    (lab.root / "assets/clean.sql").unlink()
    (lab.root / "assets/clean.sql").mkdir()


def deleted(lab: Lab) -> None:
    (lab.root / "assets/clean.sql").unlink()


def added(lab: Lab) -> None:
    lab.write("more.py", "x = 1\n")


def commented(lab: Lab) -> None:
    lab.sql("clean", BODY.format(2) + " -- twice")


@pytest.mark.long
@pytest.mark.parametrize(
    ("happens", "file"),
    [(saved, "assets/clean.sql"), (added, "more.py"), (commented, "assets/clean.sql")],
)
def test_a_file_that_changes_while_the_question_stands_isn_t_applied(
    changed: Lab, happens: Happens, file: str
) -> None:
    """Neither the old text nor the new one: nobody has agreed to what is there now. With nobody
    leading, the bytes that were shown are the ones that were read, so those are applied."""
    before = versions(changed)
    alone = not served(changed)
    done = agreed(changed, meanwhile=happens)
    if alone:
        assert done.state == "applied" and "amount * 2 " in in_force(changed)
        return
    assert (done.state, versions(changed)) == ("refused", before)
    assert done.refused is not None
    assert (done.refused.code, done.refused.files) == ("plan_changed", [file])
    now = shown(changed)
    assert done.refused.plan_id_now == now.plan_id
    assert agreed(changed, now.plan_id).state == "applied"


def served(lab: Lab) -> bool:
    return bool(lab.headrace("status")["runtime"] == "running")


@pytest.mark.parametrize("happens", [deleted, replaced_by_a_link, replaced_by_a_folder])
def test_a_plan_whose_file_is_gone_isn_t_applied(changed: Lab, happens: Happens) -> None:
    """The consumer reads `clean`: without it the files have an error, or say something that nobody
    agreed to.
    """
    looked, before = shown(changed), versions(changed)
    happens(changed)
    with pytest.raises(ProjectError, match="error"):
        agreed(changed, looked.plan_id)
    assert versions(changed) == before


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_plan_whose_file_can_t_be_read_isn_t_applied(changed: Lab) -> None:
    looked, before = shown(changed), versions(changed)
    (changed.root / "assets/clean.sql").chmod(0)
    with pytest.raises(HeadraceError):
        agreed(changed, looked.plan_id)
    assert versions(changed) == before


@pytest.mark.long
def test_a_plan_of_other_files_is_refused_by_name(changed: Lab) -> None:
    looked = shown(changed)
    saved(changed)
    added(changed)
    said = changed.headrace("apply", looked.plan_id, "--yes", code=3)
    assert (said["state"], said["plan_id"], said["version"], said["steps_done"]) == (
        "refused",
        looked.plan_id,
        1,
        0,
    )
    assert said["refused"]["code"] == "plan_changed" and said["refused"]["files"] == [
        "assets/clean.sql",
        "more.py",
    ]
    assert changed.headrace("apply", said["refused"]["plan_id_now"], "--yes")["state"] == "applied"
    assert "amount * 1000 " in in_force(changed)


def test_a_delivery_that_arrives_meanwhile_leaves_the_plan_as_it_is(changed: Lab) -> None:
    looked = shown(changed)
    changed.orders(DAYS[2])
    changed.tick()
    now = shown(changed)
    assert now.plan_id == looked.plan_id
    assert [row.partitions for row in now.steps if row.kind == "invalidate"] == [3]
    assert agreed(changed, looked.plan_id).state == "applied"


def test_what_reaches_further_back_by_now_is_another_plan(changed: Lab) -> None:
    """What was agreed to is stale from the first day on; a day before it came since."""
    looked = shown(changed)
    changed.orders("2024-12-31")
    changed.tick()
    said = changed.headrace("apply", looked.plan_id, "--yes", code=3)
    assert said["refused"]["files"] == []
    assert "a new step: invalidate clean from 2024-12-31" in said["refused"]["changed"]


@pytest.mark.long
@pytest.mark.parametrize("day", [DAYS[0], DAYS[1]])
def test_what_is_unpublished_meanwhile_makes_another_plan(changed: Lab, day: str) -> None:
    """Would catch: an agreement to invalidate what isn't there any more, because a plan knows only
    where its ranges begin."""
    looked = shown(changed)
    changed.headrace("unpublish", f"clean@{day}", "--reason", "wrong")
    said = changed.headrace("apply", looked.plan_id, "--yes", code=3)
    assert (said["refused"]["code"], said["refused"]["files"]) == ("plan_changed", [])
    assert any(item.endswith(f"without {day}") for item in said["refused"]["changed"])
    changed.headrace("run", "clean", "--partition", day)
    assert shown(changed).plan_id == looked.plan_id


def test_a_gap_that_a_late_delivery_fills_leaves_the_plan_as_it_is(changed: Lab) -> None:
    """Would catch: a plan that is void because data came that nobody asked for."""
    changed.orders(DAYS[3])
    changed.tick()
    looked = shown(changed)
    changed.orders(DAYS[2])
    changed.tick()
    assert shown(changed).plan_id == looked.plan_id


def test_two_people_apply_the_same_plan(changed: Lab) -> None:
    """The second finds that it is done."""

    def first(lab: Lab) -> None:
        lab.now -= timedelta(minutes=1)  # a replay's clock never goes back
        assert agreed(lab).state == "applied"

    done = agreed(changed, meanwhile=first)
    assert (done.state, done.version, len(versions(changed))) == ("nothing", 2, 2)


def test_two_people_apply_different_plans(changed: Lab) -> None:
    """Whoever agreed to something else, from where it was before, isn't the one who undoes it."""
    first = shown(changed)
    saved(changed)
    assert agreed(changed).state == "applied"
    changed.sql("clean", BODY.format(2))
    said = changed.headrace("apply", first.plan_id, "--yes", code=3)
    assert "the plan starts from version 1, version 2 is in force" in said["refused"]["changed"]
    assert len(versions(changed)) == 2


def test_ids_that_are_none(changed: Lab) -> None:
    for text in (
        "garbage",
        "p-",
        "p-XYZ",
        "p-" + "0" * 17,
        "../../etc/passwd",
        "p-000000000000000\n",
    ):
        with pytest.raises(UsageError, match="no plan's id"):
            agreed(changed, text)
    said = changed.headrace("apply", "p-" + "0" * 16, "--yes", code=3)
    assert said["refused"]["changed"] == [
        "that plan wasn't made here, or long ago: what it held isn't known"
    ]
    assert len(versions(changed)) == 1


@pytest.mark.long
def test_a_plan_of_another_environment(changed: Lab) -> None:
    theirs = plan(
        ProjectSession.open(changed.root, "dev", None, "tester"), against=None, progress=Silent()
    )
    said = changed.headrace("apply", theirs.plan_id, "--yes", code=3)
    assert "the plan is of the environment dev, this is prod" in said["refused"]["changed"]
    assert len(versions(changed)) == 1


def test_a_renamed_repartitioned_and_removed_node_are_done_as_shown(any_lab: Lab) -> None:
    lab = any_lab
    lab.sql("clean", "select order_id, amount, day from orders")
    lab.sql("total", "select sum(amount) as total from clean", "partition: '*'")
    lab.sql("gone", "select day from clean")
    lab.orders(DAYS[0])
    lab.tick()
    (lab.root / "assets/gone.sql").unlink()
    (lab.root / "assets/clean.sql").unlink()
    lab.sql(
        "cleaned",
        "select order_id, amount, day from orders",
        "partition: {by: day, column: day}\nrenamed_from: clean",
    )
    lab.sql("total", "select day, sum(amount) as total from cleaned group by day")
    looked = shown(lab)
    steps = {row.kind: row for row in looked.steps}
    assert [row.kind for row in looked.steps][-4:] == [
        "rename",
        "repartition",
        "invalidate",
        "retire",
    ]
    assert (steps["rename"].node, steps["rename"].detail) == ("cleaned", "was clean")
    assert (steps["repartition"].node, steps["repartition"].partitions) == ("total", 1)
    assert (steps["retire"].node, steps["retire"].partitions) == ("gone", 1)
    assert agreed(lab, looked.plan_id).state == "applied"
    visible = (
        "select node, count(*) from publication where ended_snapshot is null group by node order by"
        " node"
    )
    assert lab.rows(visible) == [("cleaned", 1), ("gone", 1), ("orders", 1)]


@pytest.mark.timeout(240)
def test_kept_plans_are_few_and_a_cache_that_can_t_be_written_is_no_failure(
    sqlite_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = sqlite_lab
    monkeypatch.setattr(agreements, "KEPT_MAX", 5)
    lab.sql("clean", BODY.format(1))
    lab.tick()
    folder = lab.root / ".headrace/cache/plans"
    for n in range(2, 10):
        lab.sql("clean", BODY.format(n))
        shown(lab)
    assert len(list(folder.iterdir())) == 5
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    looked = shown(lab)
    assert looked.plan_id is not None and agreed(lab, looked.plan_id).state == "applied"
    assert Path(folder).read_text() == "in the way"


@pytest.mark.long
def test_code_that_published_a_partition_leaves_it_fresh_when_it_comes_back(any_lab: Lab) -> None:
    """Would catch: partitions said to be stale, and a backfill proposed, though exactly the code in
    force published them.
    """
    lab = any_lab
    lab.sql("clean", BODY.format(1))
    lab.sql("total", "select day, sum(amount) as amount from clean group by day")
    for day in DAYS[:3]:
        lab.orders(day)
    lab.tick()
    lab.sql("clean", BODY.format(2))
    agreed(lab)
    lab.headrace(
        "backfill",
        "clean",
        "--from",
        DAYS[2],
        "--to",
        DAYS[2],
        "--only",
        "--reason",
        "one day",
        "--yes",
    )
    lab.sql("clean", BODY.format(1))
    ahead = shown(lab)
    (row,) = [item for item in ahead.stale if item.why == "its own code changed"]
    assert (row.node, row.partitions, row.from_, row.to) == ("clean", 1, DAYS[2], DAYS[2])
    assert [change.partitions_stale for change in ahead.changes if change.node == "clean"] == [1]
    (step,) = [step for step in ahead.steps if step.kind == "invalidate"]
    assert (step.partitions, step.from_, step.to) == (1, DAYS[2], DAYS[2])
    done = agreed(lab)
    assert [(item.node, item.partitions) for item in done.stale] == [("clean", 1)]
    state = (
        "select partition, state, stale + proposed from partition where node = 'clean' order by"
        " partition"
    )
    assert lab.rows(state) == [
        (DAYS[0], "published", 0),
        (DAYS[1], "published", 0),
        (DAYS[2], "published", 2),
    ]
    published = "select count(*) from publication where node = 'clean'"
    before = lab.rows(published)
    lab.tick()
    assert lab.rows(published) == before


def test_all_of_it_comes_back_and_nothing_is_proposed(any_lab: Lab) -> None:
    """Would catch: a useless backfill proposed after an edit that was taken back; and what arrived
    meanwhile, left stale or not seen.
    """
    lab = any_lab
    lab.sql("clean", BODY.format(1))
    for day in DAYS[:3]:
        lab.orders(day)
    lab.tick()
    lab.sql("clean", BODY.format(2))
    agreed(lab)
    lab.sql("clean", BODY.format(1))
    ahead = shown(lab)
    assert (ahead.stale, ahead.backfills) == ([], [])
    done = agreed(lab)
    assert (done.stale, done.backfills) == ([], [])
    assert agreed(lab).stale == []
    assert lab.headrace("status")["assets"]["stale"] == 0
    lab.sql("clean", BODY.format(2))
    agreed(lab)
    lab.orders(DAYS[1], n=12)
    lab.tick()  # restated: computed again by the code in force
    lab.sql("clean", BODY.format(1))
    assert [(item.node, item.from_, item.to) for item in agreed(lab).stale] == [
        ("clean", DAYS[1], DAYS[1])
    ]
