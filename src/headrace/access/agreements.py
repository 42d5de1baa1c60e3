"""Plan ids: identify the plan that a person confirmed, and refuse it if the plan has changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from headrace.model import Refused, UsageError
from headrace.plan.project_plan import PLAN_ID, plan_id_of
from headrace.project.session import ProjectSession
from headrace.responses import RefusedRow, Response
from headrace.responses.backfills import BackfillResponse
from headrace.responses.repairs import AcceptResponse, FixResponse, FixStep

# Plans that were displayed are cached, so that a refusal can name the differences from the
# confirmed plan.

PLAN_CHANGED = "plan_changed"
VALUES_DIFFER = "values_differ"
NEEDS_APPROVAL = "needs_approval"
INPUTS_UNCHANGED = "inputs_unchanged"
KEPT_MAX = 50
"""Maximum number of cached plans; the oldest are deleted first."""
FOLDER = "plans"

STEP_DIFFERENCES = ("a step that it had: ", "a new step: ")
"""How differences between two plans begin that are about a step."""


class PlanContent(msgspec.Struct, frozen=True):
    """The decisions of a plan: file hashes (SHA-256 by path) and its steps as plain data."""

    environment: str
    base_version: int | None
    files: dict[str, str]
    steps: list[dict[str, Any]]


class PlanRefused(Refused):
    """A plan was refused: `row` holds the reason, `response` the plan as it is now."""

    def __init__(self, message: str, hint: str, row: RefusedRow, response: Response) -> None:
        super().__init__(message, hint=hint)
        self.row, self.response = row, response


class PlanChanged(PlanRefused):
    """The current plan differs from the confirmed plan."""

    def __init__(
        self, plan_id: str, row: RefusedRow, response: Response, next_command: str
    ) -> None:
        text = "; ".join(
            [*(f"{path} isn't as it was in the plan" for path in row.files), *row.changed]
        )
        now = f", which is {row.plan_id_now}" if row.plan_id_now else ""
        super().__init__(
            f"plan {plan_id} isn't what would be done now{now}: {text or 'other steps'}",
            next_command,
            row,
            response,
        )


class ValuesDiffer(PlanRefused):
    """Values differ, and a person must decide first what they mean."""

    def __init__(self, row: RefusedRow, response: Response) -> None:
        super().__init__(row.text, " or ".join(row.commands), row, response)


class NeedsApproval(PlanRefused):
    """Policy requires an approval that is missing."""

    def __init__(self, row: RefusedRow, response: Response, hint: str) -> None:
        super().__init__(row.text, hint, row, response)


class InputsUnchanged(Refused):
    """A repair would recompute the same rows, because no input has changed."""


def checked_id(text: str | None) -> str | None:
    """Return the plan's id as typed. Raise UsageError if it isn't well-formed."""
    if text is not None and PLAN_ID.fullmatch(text) is None:
        hint = "`headrace plan` or --dry-run prints the id: p- and 16 hexadecimal digits"
        raise UsageError(f"{text[:40]!r} is no plan's id", hint=hint)
    return text


def keep_plan(session: ProjectSession, plan_id: str, decided: Mapping[str, Any]) -> None:
    """Cache the decisions of a plan; ignore a cache that can't be written."""
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
    """Return the folder shared by all environments, so that a plan of another one is recognised."""
    return (session.production or session).data_folder / "cache" / FOLDER


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def refusal(
    session: ProjectSession, plan_id: str, plan_id_now: str, decided: Mapping[str, Any]
) -> RefusedRow:
    """Return how the confirmed plan `plan_id` differs from the current plan."""
    now = msgspec.convert(decided, PlanContent)
    try:
        then = msgspec.json.decode(
            (_folder(session) / f"{plan_id}.json").read_bytes(), type=PlanContent
        )
    except (OSError, msgspec.MsgspecError):
        unknown = "that plan wasn't made here, or long ago: what it held isn't known"
        return RefusedRow(code=PLAN_CHANGED, plan_id_now=plan_id_now, files=[], changed=[unknown])
    files = sorted(
        path for path in {*then.files, *now.files} if then.files.get(path) != now.files.get(path)
    )
    return RefusedRow(
        code=PLAN_CHANGED, plan_id_now=plan_id_now, files=files, changed=list(_changed(then, now))
    )


def _changed(then: PlanContent, now: PlanContent) -> Iterator[str]:
    if then.environment != now.environment:
        yield f"the plan is of the environment {then.environment}, this is {now.environment}"
    if then.base_version != now.base_version:
        before = "nothing" if then.base_version is None else f"version {then.base_version}"
        yield f"the plan starts from {before}, version {now.base_version} is in force"
    yield from (
        f"{STEP_DIFFERENCES[0]}{_shown_plan(step)}" for step in then.steps if step not in now.steps
    )
    yield from (
        f"{STEP_DIFFERENCES[1]}{_shown_plan(step)}" for step in now.steps if step not in then.steps
    )


def _shown_plan(step: Mapping[str, Any]) -> str:
    range_ = f" from {step['from']}" if step.get("from") else ""
    without = f" without {', '.join(step['without'])}" if step.get("without") else ""
    return (
        f"{step['kind']}"
        f" {step['node']}{range_}{' to ' + step['to'] if step.get('to') else ''}{without}"
    )


# A plan's id stays the same while its decisions stay the same. One process displays a plan and
# another one confirms it by id; if the decisions have changed in between, nothing is done.

Planned = FixResponse | BackfillResponse | AcceptResponse
P = TypeVar("P", FixResponse, BackfillResponse, AcceptResponse)


def identified(
    session: ProjectSession,
    response: P,
    version: int | None,
    files: Mapping[str, str] | None = None,
) -> P:
    """Return the response with the id of its plan, and cache the plan's decisions.

    `version` is the applied version that the plan starts from, `files` maps the paths to be written
    to their SHA-256. The cached decisions let a refusal name the differences.
    """
    decided = decided_of(session, response, version, files or {})
    plan_id = plan_id_of(decided)
    keep_plan(session, plan_id, decided)
    return msgspec.structs.replace(response, plan_id=plan_id)


def decided_of(
    session: ProjectSession, response: Planned, version: int | None, files: Mapping[str, str]
) -> dict[str, Any]:
    """Return the decisions that a confirmation covers; excludes estimates and timestamps."""
    return {
        "environment": session.env,
        "base_version": version,
        "files": dict(files),
        "steps": _steps(response),
    }


def _steps(response: Planned) -> list[dict[str, Any]]:
    match response:
        case FixResponse():
            acts = [_act(response.id, step) for step in response.steps]
            return [
                *acts,
                *map(_mapped, response.mappings),
                *(_steps(response.backfill) if response.backfill is not None else []),
            ]
        case BackfillResponse():
            how = {"mode": response.mode, "publishes": response.publishes}
            return [
                {
                    "kind": row.how,
                    "node": row.asset,
                    "from": row.from_,
                    "to": row.to,
                    "ranges": row.ranges,
                    "partitions": row.partitions,
                    **how,
                }
                for row in response.assets
            ]
        case AcceptResponse():
            begins = {"kind": "remap", "node": response.source, "from": response.partition}
            return [begins, *map(_mapped, response.mappings)]


def _act(incident: str, step: FixStep) -> dict[str, Any]:
    act: dict[str, Any] = {"kind": step.act, "node": step.what, "incident": incident}
    return {**act, "partitions": step.partitions} if step.partitions else act


def _mapped(row: Any) -> dict[str, Any]:
    """Return an accepted column mapping; its matching score is no decision."""
    mapping = msgspec.to_builtins(row)
    return {
        "kind": "map",
        "node": mapping["column"],
        "to": mapping["to"],
        "convert": mapping.get("convert"),
    }


def changed(
    session: ProjectSession,
    response: Planned,
    plan_id: str | None,
    version: int | None,
    files: Mapping[str, str] | None = None,
) -> RefusedRow | None:
    """Return why the plan `plan_id` is refused; None if it is the current one or no id
    was given.
    """
    if plan_id is None or plan_id == response.plan_id:
        return None
    return refusal(
        session,
        plan_id,
        response.plan_id or "",
        decided_of(session, response, version, files or {}),
    )


def agreed_id(agreed: str | None) -> str | None:
    """Return the id of the confirmed plan. Raise Refused if it isn't well-formed."""
    if agreed is not None and PLAN_ID.fullmatch(agreed) is None:
        raise Refused(
            "the plan has changed since it was approved",
            hint="look at the plan again, and approve it",
        )
    return agreed
