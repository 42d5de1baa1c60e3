"""`ci`: what a change does, tried out: its problems, tests, plan, and the rows that it computes.

The steps are commands of Headrace, each in a process of its own: what computes loads DuckDB, and
who holds the state must not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

from headrace.cli.plan_markdown import code, markdown, table
from headrace.extension import HeadraceError, Option, Progress, ProjectSession, counted, few
from headrace.model import Project
from headrace.model.settings import CI, PRODUCTION
from headrace.project.git_revisions import checked_out, compiled_at, git
from headrace.responses import NeededRow, PlanResponse, RejectedRow, ValidateResponse
from headrace_testing.responses import BuiltRow, CiResponse, TestRow

REASON = "headrace ci"
EVER = "2000-01-01"
ENDED = {"succeeded", "nothing_due", "partial", "failed"}
"""States of backfills that need nobody's approval, and that nobody has stopped."""
DELIVERED_SECONDS_AGO = 86_400
"""Files from git are as old as their checkout: without this, a source would wait for them."""
_NO_STATE = (
    "the state of production isn't on this machine, and it isn't built anew, because {why}: give"
    " [store] and [lake] of headrace.toml places that this machine reaches"
)
_NO_BASE = "nothing is applied here: name what the change is compared with, --against REF"


def ci(
    session: ProjectSession,
    *,
    against: Annotated[
        str | None,
        Option(
            "--against", metavar="REF", help="a commit, branch or tag instead of what is applied"
        ),
    ] = None,
    progress: Progress,
) -> CiResponse:
    """Validate the files, run the unit tests, build what changed in the environment `ci`, and
    compare its rows with production's. Production and its exports stay as they are.

    Where nothing is applied on this machine, production is first built from the files that git has
    at --against, in a temporary folder. The exit code is 1 for an error, a test that doesn't pass,
    and data that can't be published.
    """
    progress.start("steps", 5)
    reason = _not_built(session, against, progress)
    with _place(session, against, built=reason is None) as (steps, compared):
        progress.advance(1)
        checked = msgspec.convert(steps.answer("validate"), ValidateResponse)
        progress.advance(1)
        response = CiResponse(ok=checked.ok, validate=checked, not_built=reason)
        if checked.ok:
            response = _tried(steps, compared, response, progress)
    progress.finish()
    return msgspec.structs.replace(response, markdown=_markdown(response))


class Steps:
    """Commands of Headrace on one project, each in a process of its own."""

    def __init__(self, root: Path, now: datetime | None) -> None:
        self._root, self._now = root, now

    def answer(self, *words: str, env: str = PRODUCTION) -> Any:
        """Return what a command prints with --json. Raise HeadraceError for its error."""
        options = ["--json", "--project", str(self._root), "--env", env]
        options += ["--now", self._now.isoformat()] if self._now is not None else []
        done = subprocess.run(
            [sys.executable, "-P", "-m", "headrace", *words, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
        )
        if done.stdout.strip():
            return msgspec.json.decode(done.stdout)
        error, _, hint = done.stderr.rpartition("error: ")[2].strip().partition("\n  hint: ")
        raise HeadraceError(f"headrace {words[0]}: {error}", hint=hint or f"headrace {words[0]}")


def _tried(
    steps: Steps, compared: tuple[str, ...], response: CiResponse, progress: Progress
) -> CiResponse:
    """Return the response with the tests, what was built, the plan, and how rows differ."""
    tests = msgspec.convert(steps.answer("test"), list[TestRow])
    progress.advance(1)
    built = _built(steps) if response.not_built is None else []
    progress.advance(1)
    env = CI if response.not_built is None else PRODUCTION
    plan = msgspec.convert(steps.answer("plan", *compared, env=env), PlanResponse)
    plan = msgspec.structs.replace(plan, backfills=[_in_production(row) for row in plan.backfills])
    progress.advance(1)
    passed = all(test.state == "passed" for test in tests)
    return msgspec.structs.replace(
        response,
        ok=passed and not any(row.failures for row in built),
        tests=tests,
        plan=plan,
        plan_id=plan.plan_id,
        built=built,
        diff=plan.diff or [],
    )


def _in_production(row: NeededRow) -> NeededRow:
    command = None if row.command is None else row.command.replace(f" --env {CI}", "", 1)
    return msgspec.structs.replace(row, command=command)


def _not_built(session: ProjectSession, against: str | None, progress: Progress) -> str | None:
    """Return why nothing can be built here; None if it can."""
    if session.compiled is not None:
        return None
    if against is None:
        return _NO_BASE
    changed = session.declared(progress).compiled
    if changed is None:
        return "the files have errors"
    for compiled in (compiled_at(session, against), changed):
        why = next(_reaches_outside(compiled.project), None)
        if why is not None:
            return _NO_STATE.format(why=why)
    return None


def _reaches_outside(project: Project) -> Iterator[str]:
    """Yield what a production that is built for a comparison would read or write elsewhere."""
    settings = project.settings
    places = (settings.store_url.removeprefix("sqlite:"), settings.lake_path)
    if settings.store_connection or not all(place.startswith(".headrace/") for place in places):
        yield "[store] or [lake] isn't in .headrace"
    if settings.notify:
        yield "[notify] would send messages"
    for source in project.sources.values():
        if source.files is None or not _is_inside(source.files):
            yield f"{source.name} doesn't come from files of the project"
    for consumer in project.consumers.values():
        if consumer.export is not None and not _is_inside(consumer.export.get("to")):
            yield f"{consumer.name} is exported to a place outside of the project's folder"


def _is_inside(place: Any) -> bool:
    """Return whether this is a path in the project; a place in a connection is a mapping."""
    return isinstance(place, str) and "://" not in place and ".." not in Path(place).parts


@contextmanager
def _place(
    session: ProjectSession, against: str | None, *, built: bool
) -> Iterator[tuple[Steps, tuple[str, ...]]]:
    """Yield the steps on the files to try, and what `plan` compares them with.

    That is the project's folder, or, where nothing is applied in it, a temporary one whose
    production is built from the files of `against`.
    """
    applied = session.compiled is not None
    session.close()  # the steps open the state
    if applied or not built or against is None:
        named = () if against is None else ("--against", against)
        yield Steps(session.root, session.now_given), named
        return
    with checked_out(session.root, against) as folder:
        steps = Steps(folder, session.now_given)
        _seem_delivered(folder)
        try:
            steps.answer("tick")
        except HeadraceError as error:
            text = f"production can't be built as it is at {against}: {error}"
            raise HeadraceError(text, hint=error.hint) from error
        for item in folder.iterdir():
            if item.name != ".headrace":
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        _copy_files(session.root, folder)
        _seem_delivered(folder)
        yield steps, ()


def _copy_files(root: Path, folder: Path) -> None:
    """Copy the project's files as they are, without those that git ignores."""
    names = git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    for name in filter(None, names):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)


def _seem_delivered(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and ".headrace" not in path.parts:
            seconds = path.stat().st_mtime - DELIVERED_SECONDS_AGO
            os.utime(path, (seconds, seconds))


def _built(steps: Steps) -> list[BuiltRow]:
    """Apply the files in the environment; build there what is due, what the change makes stale in
    production, and what failed in an earlier try."""
    applied = steps.answer("apply", "--yes", env=CI)
    if applied["state"] not in ("applied", "nothing"):
        raise HeadraceError(
            f"the change can't be applied in the environment {CI}: {applied['state']}",
            hint=f"headrace --env {CI} apply",
        )
    ticked = steps.answer("tick", env=CI)
    wanted = [
        (*row["select"], "--from", row["from"], "--to", row["to"], "--mode", row["mode"])
        for row in steps.answer("plan", env=CI)["backfills"]
    ]
    wanted.append(("--mode", "failed", "--since", EVER))
    backfills = [
        steps.answer("backfill", *words, "--reason", REASON, "--yes", env=CI) for words in wanted
    ]
    unfinished = {row["state"] for row in backfills} - ENDED
    if unfinished:
        raise HeadraceError(
            f"the change can't be built in the environment {CI}: {', '.join(sorted(unfinished))}",
            hint=f"headrace --env {CI} backfills",
        )
    return _built_rows(ticked, backfills)


def _built_rows(ticked: dict[str, Any], backfills: list[dict[str, Any]]) -> list[BuiltRow]:
    """Return what a tick and backfills have published of each asset, and what they couldn't."""
    published: Counter[str] = Counter(row["asset"] for row in ticked["published"])
    failures = {(row["asset"], row["partition"]): row for row in ticked["rejected"]}
    for backfill in backfills:
        for row in backfill["assets"]:
            published[row["asset"]] += row["published"] or 0
        failures |= {(row["asset"], row["partition"]): row for row in backfill["failures"]}
    rows = [
        RejectedRow(asset=asset, partition=key, state=row["state"], reason=row["reason"])
        for (asset, key), row in sorted(failures.items())
    ]
    return [
        BuiltRow(
            asset=name,
            partitions=published[name],
            failures=[row for row in rows if row.asset == name],
        )
        for name in sorted({*+published, *(row.asset for row in rows)})
    ]


# The response as a comment on a pull request


def summary(response: CiResponse) -> list[str]:
    """Return what was done and what came of it, in clauses."""
    errors = sum(problem.severity == "error" for problem in response.validate.problems)
    passed = sum(test.state == "passed" for test in response.tests)
    partitions = sum(row.partitions for row in response.built)
    failures = sum(len(row.failures) for row in response.built)
    clauses = {
        counted(errors, "error") if errors else "valid": True,
        f"{passed} of {counted(len(response.tests), 'test')} passed": response.tests,
        f"{counted(partitions, 'partition')} built": response.built,
        f"{failures} not published": failures,
        **dict.fromkeys(_rows_clauses(response), response.plan),
    }
    return [clause for clause, is_said in clauses.items() if is_said]


def _rows_clauses(response: CiResponse) -> list[str]:
    if response.not_built is not None or response.plan is None:
        return ["rows weren't compared"]
    differing = sum(bool(row.compared + row.not_compared + row.only_here) for row in response.diff)
    others = {row.node for row in response.plan.stale} - {row.node for row in response.diff}
    same = ["no row differs"] if response.diff or not others else []
    return [
        *([f"rows of {counted(differing, 'asset')} differ"] if differing else same),
        *([f"rows of {few(sorted(others))} weren't compared"] if others else []),
    ]


def _markdown(response: CiResponse) -> str:
    lines = [f"## Headrace: {'✓' if response.ok else '✗'} {', '.join(summary(response))}", ""]
    lines += table(
        "Problems",
        ("place", "problem", "hint"),
        [
            (code(f"{row.file}:{row.line}"), code(row.message), code(row.hint))
            for row in response.validate.problems
        ],
        "more problem",
    )
    lines += table(
        "Tests that don't pass",
        ("test", "asset", "place"),
        [
            (code(row.test), code(row.asset), code(f"{row.file}:{row.line}"))
            for row in response.tests
            if row.state != "passed"
        ],
        "more test",
    )
    lines += table(
        "Not published",
        ("asset", "partition", "state", "why"),
        [
            (code(row.asset), code(row.partition), row.state, code(row.reason))
            for built in response.built
            for row in built.failures
        ],
        "more partition",
    )
    if response.not_built is not None:
        lines += [f"Nothing was built: {code(response.not_built)}.", ""]
    plan = "" if response.plan is None else markdown(response.plan)
    return "\n".join([*lines, plan])
