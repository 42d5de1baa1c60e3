"""The steps of a plan: every change that `apply` makes to the state, one value each.

The same values are displayed, checked, recorded and performed. A step's `decision` is what a person
approves with the plan. It leaves out what grows while the plan waits: the number of partitions, and
the last partition of a range without an end.
"""

from __future__ import annotations

import enum
import hashlib
from typing import Any, TypeAlias

from headrace.model import Value
from headrace.model.partitions import command_line
from headrace.model.wording import few

KEYS_DECIDED_MAX = 100
"""Maximum number of partitions that a decision lists; of more it holds their count and one hash."""


class PlanStepKind(enum.StrEnum):
    """The kind of a step."""

    DECLARE = "declare"
    WEAKEN = "weaken"
    UNPIN = "unpin"
    RETYPE = "retype"
    RENAME = "rename"
    REPARTITION = "repartition"
    REMAP = "remap"
    INVALIDATE = "invalidate"
    RETIRE = "retire"
    PROMOTE = "promote"


class PartitionRangeSummary(Value):
    """A range of partitions of one node, both ends included; None for an empty range."""

    first: str | None = None
    last: str | None = None
    partitions: int = 0
    ordered: bool = True
    """Whether partitions are ordered by time; keys aren't, so a new one may sort before the
    first."""
    taken_back: tuple[str, ...] = ()
    """Unpublished partitions without a later publication."""

    @property
    def decision(self) -> dict[str, Any]:
        """The approved part of the range.

        Its beginning and its unpublished partitions, which only people change. Deliveries move its
        end and fill its gaps by themselves.
        """
        results: dict[str, Any] = {"from": self.first if self.ordered else None}
        if len(self.taken_back) > KEYS_DECIDED_MAX:
            digest = hashlib.sha256("\n".join(self.taken_back).encode("utf-8", "surrogatepass"))
            results["without"] = [f"{len(self.taken_back)} partitions", digest.hexdigest()]
        elif self.taken_back:
            results["without"] = list(self.taken_back)
        return results


NO_PARTITIONS = PartitionRangeSummary()


class Declare(Value, tag=PlanStepKind.DECLARE.value):
    """A changed declaration, or a changed file that belongs to no node, takes effect.

    `aspects` lists what differs.
    """

    node: str
    aspects: tuple[str, ...]

    @property
    def detail(self) -> str:
        """Text for users."""
        return ", ".join(self.aspects)

    @property
    def decision(self) -> dict[str, Any]:
        """The approved part."""
        return {"aspects": list(self.aspects)}


class Weaken(Value, tag=PlanStepKind.WEAKEN.value):
    """A weakened promise; `before` and `after` are the declared values."""

    node: str
    what: str
    before: str
    after: str
    range: PartitionRangeSummary | None = None
    """Of `retain`: the published partitions that the next cleanup removes. Not part of the
    decision, because more of them get old by themselves."""

    @property
    def detail(self) -> str:
        """Text for users."""
        return f"{self.what}: {self.before} → {self.after}"

    @property
    def decision(self) -> dict[str, Any]:
        """The approved part."""
        return {"what": self.what, "before": self.before, "after": self.after}


class Unpin(Value, tag=PlanStepKind.UNPIN.value):
    """The learnt columns of a node are dropped: the next publication defines them."""

    node: str
    learnt: bool
    """Whether the columns were learnt from a source's deliveries."""

    @property
    def detail(self) -> str:
        """Text for users."""
        return (
            "the next delivery says its columns"
            if self.learnt
            else "the next publication may change its columns"
        )

    @property
    def decision(self) -> dict[str, Any]:
        """The approved part."""
        return {"learnt": self.learnt}


class Retype(Value, tag=PlanStepKind.RETYPE.value):
    """Columns of a published table get other types, into which their values are carried."""

    node: str
    columns: tuple[tuple[str, str, str], ...]
    """Name, type of what is published, and type from now on."""
    range: PartitionRangeSummary = NO_PARTITIONS
    refused: tuple[str, ...] = ()
    """Columns with a published value that would change. Not part of the decision."""

    @property
    def detail(self) -> str:
        """Text for users."""
        columns = ", ".join(f"{name} {was} → {now}" for name, was, now in self.columns)
        range_ = ("--from", str(self.range.first), "--to", str(self.range.last))
        text = (
            f"published values of {few(self.refused, mark=' and ')} can't be converted, so each"
            " publication is refused until all that is published is recomputed:"
            f" `{command_line('backfill', self.node, *range_, '--mode', 'all')}`"
            if self.refused
            else "the next publication converts what is published, and is refused if a value would"
            " change"
        )
        return f"{columns}: {text}"

    @property
    def decision(self) -> dict[str, Any]:
        """The approved part."""
        return {"columns": [list(column) for column in self.columns]}


class Rename(Value, tag=PlanStepKind.RENAME.value):
    """An asset's table and history continue under a new name."""

    node: str
    former: str

    @property
    def detail(self) -> str:
        """Text for users."""
        return f"was {self.former}"

    @property
    def decision(self) -> dict[str, Any]:
        """The approved part."""
        return {"former": self.former}


class Repartition(Value, tag=PlanStepKind.REPARTITION.value):
    """All publications of a node are withdrawn, because its partitioning changes."""

    node: str
    before: str
    after: str
    range: PartitionRangeSummary = NO_PARTITIONS

    @property
    def detail(self) -> str:
        """Text for users."""
        return f"{self.before} → {self.after}: what is published is unpublished"

    @property
    def decision(self) -> dict[str, Any]:
        """The approved part."""
        return {"before": self.before, "after": self.after, **self.range.decision}


class Remap(Value, tag=PlanStepKind.REMAP.value):
    """Deliveries are re-ingested, or what checks stopped is tried again: a declaration changed."""

    node: str
    keys: tuple[str, ...]
    """The partitions, in order."""
    names: bool = True
    """Whether column names changed; if not, only held, rejected or failed partitions are tried
    again."""

    @property
    def range(self) -> PartitionRangeSummary:
        """The range from the first to the last of them."""
        return PartitionRangeSummary(
            first=self.keys[0], last=self.keys[-1], partitions=len(self.keys)
        )

    @property
    def detail(self) -> str:
        """Text for users."""
        return (
            "deliveries are re-ingested by other names"
            if self.names
            else "what was held, rejected or failed is tried again"
        )

    @property
    def decision(self) -> dict[str, Any]:
        """The approved part."""
        return {"from": self.keys[0]}


class Invalidate(Value, tag=PlanStepKind.INVALIDATE.value):
    """All publications of a node become stale, because other code computed them."""

    node: str
    asks: bool
    """Whether partitions stay as they are until somebody requests them; if not, they are recomputed
    automatically."""
    consumers: tuple[str, ...] = ()
    """The consumers downstream."""
    range: PartitionRangeSummary = NO_PARTITIONS
    needs_approval: bool = False
    """Whether policy requires an approval to recompute. Not part of the decision: it follows from
    the policy, which is among the files, and from the number of partitions."""

    @property
    def detail(self) -> str:
        """Text for users."""
        if not self.asks:
            return "computed again by the next run"
        approval = ", which needs an approval" if self.needs_approval else ""
        return f"stale until it is requested again{approval}"

    @property
    def decision(self) -> dict[str, Any]:
        """The approved part."""
        return {"asks": self.asks, "consumers": list(self.consumers), **self.range.decision}


class Retire(Value, tag=PlanStepKind.RETIRE.value):
    """A node is no longer declared: it isn't computed, exported or promised any more.

    Its publications stay.
    """

    node: str
    what: str
    """`source`, `asset` or `consumer`."""
    range: PartitionRangeSummary = NO_PARTITIONS

    @property
    def detail(self) -> str:
        """Text for users."""
        return f"the {self.what} isn't declared any more"

    @property
    def decision(self) -> dict[str, Any]:
        """The approved part."""
        return {"what": self.what}


class Promote(Value, tag=PlanStepKind.PROMOTE.value):
    """Partitions built by an environment are published unchanged."""

    node: str
    environment: str
    range: PartitionRangeSummary

    @property
    def detail(self) -> str:
        """Text for users."""
        return f"published as {self.environment} built it"

    @property
    def decision(self) -> dict[str, Any]:
        """The approved part; it excludes later builds of the environment."""
        range_ = self.range
        return {
            "environment": self.environment,
            "from": range_.first,
            "to": range_.last,
            "partitions": range_.partitions,
        }


Step: TypeAlias = (
    Declare | Weaken | Unpin | Retype | Rename | Repartition | Remap | Invalidate | Retire | Promote
)


def kind_of(step: Step) -> PlanStepKind:
    """Return the kind of a step."""
    return PlanStepKind(str(step.__struct_config__.tag))


def range_of(step: Step) -> PartitionRangeSummary | None:
    """Return the partitions that a step affects; None if it affects none directly."""
    match step:
        case Declare() | Unpin() | Rename():
            return None
        case _:
            return step.range
