"""What somebody agrees to: the id of a plan, the same as long as the same would be done.

Who is shown a plan by one process and agrees by another says which one it was; where something else would be done by then, nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from headrace.model import Refused
from headrace.operations import plan_refusals
from headrace.operations.backfill_responses import BackfillResponse
from headrace.operations.contract_responses import AcceptResponse
from headrace.operations.fix_responses import FixResponse, FixStep
from headrace.operations.responses import RefusedRow
from headrace.operations.session import ProjectSession
from headrace.plan.project_plan import PLAN_ID, plan_id_of

Planned = FixResponse | BackfillResponse | AcceptResponse
P = TypeVar("P", FixResponse, BackfillResponse, AcceptResponse)


def identified(session: ProjectSession, response: P, version: int | None, files: Mapping[str, str] | None = None) -> P:
    """The document with the id of the plan that it shows, of what is done from `version` on; `files` are the SHA-256 of what is written.
    It is kept, so that a refusal can name what differs."""
    decided = decided_of(session, response, version, files or {})
    plan_id = plan_id_of(decided)
    plan_refusals.keep(session, plan_id, decided)
    return msgspec.structs.replace(response, plan_id=plan_id)


def decided_of(session: ProjectSession, response: Planned, version: int | None, files: Mapping[str, str]) -> dict[str, Any]:
    """What is decided by agreeing. How long it takes, and when it was shown, are no part of it."""
    return {"environment": session.env, "base_version": version, "files": dict(files), "steps": _steps(response)}


def _steps(response: Planned) -> list[dict[str, Any]]:
    match response:
        case FixResponse():
            acts = [_act(response.id, step) for step in response.steps]
            return [*acts, *map(_mapped, response.mappings), *(_steps(response.backfill) if response.backfill is not None else [])]
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
    """A name that is accepted; how well it fits is no decision."""
    told = msgspec.to_builtins(row)
    return {"kind": "map", "node": told["column"], "to": told["to"], "convert": told.get("convert")}


def changed(
    session: ProjectSession, response: Planned, asked: str | None, version: int | None, files: Mapping[str, str] | None = None
) -> RefusedRow | None:
    """Why the plan that was asked for isn't done; None where it is the one that is shown, or none was asked for."""
    if asked is None or asked == response.plan_id:
        return None
    return plan_refusals.refused(session, asked, response.plan_id or "", decided_of(session, response, version, files or {}))


def agreed_id(agreed: str | None) -> str | None:
    """The plan's id that somebody agreed to; Refused for what is no id: no plan is that one."""
    if agreed is not None and PLAN_ID.fullmatch(agreed) is None:
        raise Refused(
            "something else would be done by now than what was agreed to",
            hint="look at the plan again, and agree to that",
        )
    return agreed
