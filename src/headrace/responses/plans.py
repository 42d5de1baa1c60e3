"""Responses of `plan`, `diff` and `apply`: changes before and after they are in force."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from headrace.model.policy import Approval
from headrace.plan.compiled import CodeChange
from headrace.responses.base import Response


class EffectRow(Response, frozen=True, kw_only=True):
    """What becomes of one column: `added`, `dropped`, another `type`, or another `meaning`; and who
    reads it, one step downstream.
    """

    column: str
    effect: str
    read_by: list[str] = []


class ChangeRow(Response, frozen=True, kw_only=True):
    """One change between what is applied and what the files say. `breaking`: somebody reads a
    column that goes, has another type, or means something else. `partitions_stale` of the node
    itself."""

    node: str
    change: str
    breaking: bool = False
    columns: list[str] = []
    partitions_stale: int | None = None
    effects: list[EffectRow] = []
    consumers: list[str] = []
    """Whom it reaches."""
    file: str | None = None
    line: int | None = None
    kept: bool = False
    """Of a changed body: what other code has published stays fresh (`apply --keep`)."""
    code: list[CodeChange] = []
    """Of a changed body: the imported modules, scripts and `code_files` that changed."""


class Affects(Response, frozen=True, kw_only=True):
    """Whom a change or a plan touches."""

    consumers: list[str] = []
    owners: list[str] = []


class CountsRow(Response, frozen=True, kw_only=True):
    """How many partitions a plan makes, or has made, everywhere by one definition: of sources those
    that are ingested, of assets those that are computed, of exports those that are sent. Views and
    checks have none. `nodes` and `text` say it in words."""

    partitions: int
    sources: int
    of_sources: int
    assets: int
    of_assets: int
    exports: int
    of_exports: int
    nodes: str
    text: str


class StaleRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Partitions of one node that a change concerns: how many, the first and the last."""

    node: str
    partitions: int
    from_: str
    to: str
    why: str


class WeakenedRow(Response, frozen=True, kw_only=True):
    """A promise that becomes less, with both as they are declared."""

    node: str
    what: str
    before: str
    after: str
    file: str | None = None
    line: int | None = None


class NeededRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A backfill that a change asks for, as `headrace backfill` takes it: from the first to the
    last partition, both included.
    """

    select: list[str]
    from_: str
    to: str
    mode: str
    command: str | None
    counts: CountsRow | None = None
    """What it would make if it were started now; null where that isn't planned ahead."""


class PromotedRow(Response, frozen=True, kw_only=True):
    """Partitions that an environment has built: published in production as they are, instead of
    being computed again.
    """

    environment: str
    node: str
    partitions: int


class ColumnChange(Response, frozen=True, kw_only=True):
    """A column that isn't the same on both sides: `added`, `removed` or `type`."""

    column: str
    change: str
    before: str | None
    after: str | None


class RowChange(Response, frozen=True, kw_only=True):
    """An example: `added` has only `after`, `removed` only `before`, `changed` both."""

    change: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class SpreadRow(Response, frozen=True, kw_only=True):
    """How the values of one column are distributed in production (`before`) and in the environment
    (`after`): rows, nulls, distinct values (estimated), minimum, maximum and mean as text, null
    where the type has none."""

    column: str
    before: dict[str, Any]
    after: dict[str, Any]


class DifferenceRow(Response, frozen=True, kw_only=True):
    """What an environment has built of a node, against what production has: of the newest
    partitions that differ, `compared` in all.
    """

    node: str
    identical: int
    """Partitions that have the same rows in both."""
    compared: int
    not_compared: int
    """Partitions that differ, and whose rows weren't compared: older ones, or of further nodes."""
    not_built: int
    """Partitions that only production has."""
    only_here: int
    columns: list[ColumnChange]
    keys: list[str] | None
    rows_added: int
    rows_removed: int
    rows_changed: int | None
    cells: dict[str, int]
    """Column → in how many changed rows it differs."""
    sample: list[RowChange]
    spreads: list[SpreadRow]
    """Of columns whose values are distributed otherwise."""
    masked: list[str] = []
    """Columns that are compared by their masked values, or left out, because the reader may not see
    them."""


class PlannedFileRow(Response, frozen=True, kw_only=True):
    """A file that would be applied: `change` is `added`, `changed`, `removed` (then `sha256` is
    null) or `unchanged`.
    """

    path: str
    sha256: str | None
    change: str


class StepRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One step of a plan, `n` from 1. `kind` is `declare`, `weaken`, `unpin`, `retype`, `rename`,
    `repartition`, `remap`, `invalidate`, `retire` or `promote`; `partitions` is null for a step
    that touches none by itself."""

    n: int
    kind: str
    node: str
    from_: str | None
    to: str | None
    partitions: int | None
    detail: str
    needs_approval: bool


class RefusedRow(Response, frozen=True, kw_only=True):
    """Why nothing was done: `code` is `plan_changed`, `plan_id_now` the plan that would be done
    instead, `files` those that aren't as they were in the plan that was agreed to, `changed` what
    else differs. With `values_differ`, `text` says which values, and one of `commands` decides it.
    """

    code: str
    plan_id_now: str
    files: list[str]
    changed: list[str]
    text: str = ""
    commands: list[str] = msgspec.field(default_factory=list)


class ClassifiedColumnRow(Response, frozen=True, kw_only=True):
    """A column that is classified from now on: declared, or derived from one that is."""

    column: str
    """`node.column`."""
    classification: str | None
    """As declared; null for a derived column."""
    mask: str | None
    """The method; null where readers without the right to see the column don't get it."""


class RemovesRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What a new or shortened `retain:` removes for good: published partitions and their rows, from
    the first cleanup after `apply` on. `before` is null if everything was kept. Under a legal hold
    (its reason) nothing is removed until it is released."""

    node: str
    before: str | None
    retain: str
    kept_from: str
    """The first interval that is kept."""
    partitions: int = 0
    rows: int = 0
    from_: str | None = None
    to: str | None = None
    hold: str | None = None


class PrunedRow(Response, frozen=True, kw_only=True):
    """Published data of a node that isn't declared any more after `apply`.

    `keep` is `[retention] pruned`, after which maintenance removes it for good; null: it stays.
    """

    node: str
    partitions: int
    rows: int
    keep: str | None
    hold: str | None = None


class AgreementGivenRow(Response, frozen=True, kw_only=True):
    """Who has agreed to a change of a contract for a domain that reads it."""

    by: str
    at: datetime
    reason: str
    domains: list[str]


class AgreementRow(Response, frozen=True, kw_only=True):
    """A contract that takes back something, and another domain that reads its node.

    The owners should agree. `needed`: a rule of policy asks for an owner of this domain. `before`
    and `after` are versions of the contract; `after` is null if the node has none any more.
    """

    node: str
    contract: str
    before: str
    after: str | None
    changes: list[str]
    """What it takes back."""
    domain: str
    owners: list[str]
    readers: list[str]
    """The nodes of the domain downstream of the node."""
    needed: bool = False
    agreed: list[AgreementGivenRow] = []
    """Who has agreed to this plan."""


LEFT_OUT_TEXTS = {
    "changes": "other changes in the files. Only somebody whose roles reach them can apply",
    "effects": "what becomes of nodes that your roles don't reach",
}
"""`left_out` of a plan in words."""


class ComputeRow(Response, frozen=True, kw_only=True):
    """Seconds that worker slots are busy, by the mean of each node's newest attempts.

    `seconds` is null if nothing is known, `unknown` are the assets that aren't in it, because they
    have never run. `cost` is null without `slot_hour` in `[costs]`."""

    partitions: int
    seconds: float | None
    cost: float | None
    unknown: list[str]


class MonthRow(Response, frozen=True, kw_only=True):
    """Seconds that worker slots are busy in a month more than now; less are negative.

    Removed assets count with their attempts of the last 30 days, other code with its trial.
    `seconds` is null if nothing is known, `unknown` are changed assets that aren't in it."""

    seconds: float | None
    cost: float | None
    unknown: list[str]


class PlanResponse(Response, frozen=True, kw_only=True):
    """What `apply` will do. Counts are null where nothing is known of what is published. `plan_id`
    is null with `--against`: what is compared with a commit isn't what `apply` does."""

    plan_id: str | None = None
    base_version: int | None = None
    """The version that the plan starts from; null where nothing is applied."""
    files: list[PlannedFileRow] = []
    steps: list[StepRow] = []
    """All that `apply` does, in order."""
    changes: list[ChangeRow]
    affects: Affects
    estimate: dict[str, Any] | None = None
    """Of recomputing all that becomes stale."""
    weakens: list[WeakenedRow] = []
    classified: list[ClassifiedColumnRow] = []
    """Columns that are newly classified, or newly derived from classified ones, or have another
    mask."""
    unclassified: list[str] = []
    """`node.column` of declared columns that lose their classification: they, and what is computed
    from them, are shown in the clear, also in rows that were published before."""
    removes: list[RemovesRow] = []
    """What a new or shortened `retain:` removes, which nothing brings back."""
    pruned: list[PrunedRow] = []
    """Data of nodes that aren't declared any more, and how long it stays."""
    rebuildable: list[RemovesRow] = []
    """What a new or shortened `retain_rebuildable` lets go: `db gc` removes what gives the same
    rows again, so that it can be rebuilt."""
    locks_out: str | None = None
    """Who runs the command, if the new rules of access give them no role."""
    stale: list[StaleRow] = []
    """What becomes stale, inputs before what reads them. Readers keep what they see until somebody
    requests it to be recomputed."""
    repairs: list[StaleRow] = []
    """What failed under the code as it was."""
    bytes_estimate: int | None = None
    compute: ComputeRow | None = None
    """The compute time of the recomputation, and of new assets; null where nothing is computed, or
    nothing is applied yet."""
    month: MonthRow | None = None
    """What the changes of assets cost in a month; null where no asset's code changes."""
    backfills: list[NeededRow] = []
    """What makes again what becomes stale, and what failed."""
    built: list[PromotedRow] = []
    """What environments have built already: `apply` publishes it, and computes nothing."""
    against: str | None = None
    """What the files are compared with; null where nothing is applied."""
    env: str = "prod"
    next: str | None = None
    now: datetime | None = None
    clock: str = "live"
    approval: Approval | None = None
    """The rule of policy that asks for an approval of the plan; null: it needs none."""
    agreements: list[AgreementRow] = []
    """Other domains that read a contract which takes back something: their owners should agree."""
    diff: list[DifferenceRow] | None = None
    """In an environment: how what is built there differs from production, node by node."""
    left_out: str | None = None
    """What a role that is limited to nodes doesn't get: `changes` if other nodes or files change,
    too (then `plan_id` is null), `effects` if other nodes become stale. `estimate` is null then."""


class ApplyResponse(Response, frozen=True, kw_only=True):
    """`apply`. `state` is `applied`, `nothing`, `refused` (the plan isn't the one that was agreed
    to) or `declined`; `version` is the one in force afterwards, `plan_id` what was done, or asked
    for."""

    now: datetime
    state: str
    plan_id: str | None = None
    refused: RefusedRow | None = None
    steps_done: int = 0
    version: int | None
    plan: PlanResponse
    clock: str = "live"
    promoted: list[PromotedRow] = []
    """What environments had built, published as they built it."""
    stale: list[StaleRow] = []
    """What is stale now, of the nodes whose code changed."""
    backfills: list[NeededRow] = []
    """What makes that again, and what failed under the code as it was."""
    backfill: Any = None
    """What `--backfill` came to (`backfill`'s document, of the last one); null where nobody asked
    for it."""
