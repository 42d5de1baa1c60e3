"""Plans that were shown are kept for a while in the cache, so that a refusal can name what isn't as it was agreed to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from headrace.model import Refused, UsageError
from headrace.operations.responses import RefusedRow, Response
from headrace.operations.session import ProjectSession
from headrace.plan.project_plan import PLAN_ID

PLAN_CHANGED = "plan_changed"
VALUES_DIFFER = "values_differ"
NEEDS_APPROVAL = "needs_approval"
INPUTS_UNCHANGED = "inputs_unchanged"
KEPT_MAX = 50
"""Plans that are kept; older ones go first."""
FOLDER = "plans"


class PlanContent(msgspec.Struct, frozen=True):
    """What a plan decides: SHA-256 by path, and its steps as plain data."""

    environment: str
    base_version: int | None
    files: dict[str, str]
    steps: list[dict[str, Any]]


class PlanRefused(Refused):
    """A plan isn't done. `row` says why, `response` is the response of what would have been done."""

    def __init__(self, message: str, hint: str, row: RefusedRow, response: Response) -> None:
        super().__init__(message, hint=hint)
        self.row, self.response = row, response


class PlanChanged(PlanRefused):
    """What would be done isn't what was agreed to."""

    def __init__(self, asked: str, row: RefusedRow, response: Response, look: str) -> None:
        text = "; ".join([*(f"{path} isn't as it was in the plan" for path in row.files), *row.changed])
        now = f", which is {row.plan_id_now}" if row.plan_id_now else ""
        super().__init__(
            f"plan {asked} isn't what would be done now{now}: {text or 'other steps'}",
            look,
            row,
            response,
        )


class ValuesDiffer(PlanRefused):
    """Somebody has to say first what values mean that differ."""

    def __init__(self, row: RefusedRow, response: Response) -> None:
        super().__init__(row.text, " or ".join(row.commands), row, response)


class NeedsApproval(PlanRefused):
    """Policy asks for an approval that nobody gave."""

    def __init__(self, row: RefusedRow, response: Response, hint: str) -> None:
        super().__init__(row.text, hint, row, response)


class InputsUnchanged(Refused):
    """A repair would compute the same rows again."""


def checked_id(text: str | None) -> str | None:
    """A plan's id as typed. UsageError for what can't be one."""
    if text is not None and PLAN_ID.fullmatch(text) is None:
        hint = "`headrace plan` prints the id: p- and 16 hexadecimal digits"
        raise UsageError(f"{text[:40]!r} is no plan's id", hint=hint)
    return text


def keep(session: ProjectSession, plan_id: str, decided: Mapping[str, Any]) -> None:
    """Keep what a plan decides. A cache that can't be written is no failure."""
    folder = _folder(session)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{plan_id}.{os.getpid()}"
        part.write_bytes(msgspec.json.encode(decided))
        part.replace(folder / f"{plan_id}.json")
        newest = sorted(folder.glob("p-*.json"), key=_written, reverse=True)
        for path in newest[KEPT_MAX:]:
            path.unlink(missing_ok=True)


def _folder(session: ProjectSession) -> Path:
    """One for all environments: a plan of another one is called so."""
    return (session.production or session).data_folder / "cache" / FOLDER


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def refused(session: ProjectSession, plan_id: str, plan_id_now: str, decided: Mapping[str, Any]) -> RefusedRow:
    """Why the plan `plan_id` isn't done: what of it isn't what is decided now."""
    now = msgspec.convert(decided, PlanContent)
    try:
        then = msgspec.json.decode((_folder(session) / f"{plan_id}.json").read_bytes(), type=PlanContent)
    except (OSError, msgspec.MsgspecError):
        unknown = "that plan wasn't made here, or long ago: what it held isn't known"
        return RefusedRow(code=PLAN_CHANGED, plan_id_now=plan_id_now, files=[], changed=[unknown])
    files = sorted(path for path in {*then.files, *now.files} if then.files.get(path) != now.files.get(path))
    return RefusedRow(code=PLAN_CHANGED, plan_id_now=plan_id_now, files=files, changed=list(_changed(then, now)))


def _changed(then: PlanContent, now: PlanContent) -> Iterator[str]:
    if then.environment != now.environment:
        yield f"the plan is of the environment {then.environment}, this is {now.environment}"
    if then.base_version != now.base_version:
        before = "nothing" if then.base_version is None else f"version {then.base_version}"
        yield f"the plan starts from {before}, version {now.base_version} is in force"
    yield from (f"a step that it had: {_shown(step)}" for step in then.steps if step not in now.steps)
    yield from (f"a new step: {_shown(step)}" for step in now.steps if step not in then.steps)


def _shown(step: Mapping[str, Any]) -> str:
    range_ = f" from {step['from']}" if step.get("from") else ""
    without = f" without {', '.join(step['without'])}" if step.get("without") else ""
    return f"{step['kind']} {step['node']}{range_}{' to ' + step['to'] if step.get('to') else ''}{without}"
