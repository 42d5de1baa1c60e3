"""The steps of a plan: every change that `apply` makes to the state, one value each.

The same values are shown, checked, recorded and performed. A step's `decision` is what a person agrees to by agreeing to the plan. It
leaves out what grows while the plan waits: the number of partitions, and the last partition of a range that is open to the future.
"""

from __future__ import annotations

import enum
import hashlib
from typing import Any, TypeAlias

from headrace.model import Value

KEYS_DECIDED_MAX = 100
"""Partitions that a decision names one by one; of more it holds their count and one hash."""


class PlanStepKind(enum.StrEnum):
    """What a step does."""

    DECLARE = "declare"
    WEAKEN = "weaken"
    UNPIN = "unpin"
    RENAME = "rename"
    REPARTITION = "repartition"
    REMAP = "remap"
    INVALIDATE = "invalidate"
    RETIRE = "retire"
    PROMOTE = "promote"


class PartitionRangeSummary(Value):
    """Partitions of one node: the first, the last, both included, and how many there are. None: there are none."""

    first: str | None = None
    last: str | None = None
    partitions: int = 0
    ordered: bool = True
    """Whether they follow each other in time; keys don't, and a new one may sort before the first."""
    taken_back: tuple[str, ...] = ()
    """The partitions that somebody unpublished, and that nothing was published of since."""

    @property
    def decision(self) -> dict[str, Any]:
        """What of it is agreed to. Deliveries move its end and fill its gaps by themselves; where it
        begins, and what of it is taken back or published again, somebody does."""
        results: dict[str, Any] = {"from": self.first if self.ordered else None}
        if len(self.taken_back) > KEYS_DECIDED_MAX:
            digest = hashlib.sha256("\n".join(self.taken_back).encode("utf-8", "surrogatepass"))
            results["without"] = [f"{len(self.taken_back)} partitions", digest.hexdigest()]
        elif self.taken_back:
            results["without"] = list(self.taken_back)
        return results


NO_PARTITIONS = PartitionRangeSummary()


class Declare(Value, tag=PlanStepKind.DECLARE.value):
    """A declaration, or a file that belongs to no node, comes into force as the files say it. `aspects` are what of it differs."""

    node: str
    aspects: tuple[str, ...]

    @property
    def detail(self) -> str:
        """For people."""
        return ", ".join(self.aspects)

    @property
    def decision(self) -> dict[str, Any]:
        """What is agreed to."""
        return {"aspects": list(self.aspects)}


class Weaken(Value, tag=PlanStepKind.WEAKEN.value):
    """A promise becomes less; both as they are declared."""

    node: str
    what: str
    before: str
    after: str

    @property
    def detail(self) -> str:
        """For people."""
        return f"{self.what}: {self.before} → {self.after}"

    @property
    def decision(self) -> dict[str, Any]:
        """What is agreed to."""
        return {"what": self.what, "before": self.before, "after": self.after}


class Unpin(Value, tag=PlanStepKind.UNPIN.value):
    """The columns that were learnt from published data are forgotten: the next publication says what they are."""

    node: str
    learnt: bool
    """Whether they were learnt from a source's deliveries."""

    @property
    def detail(self) -> str:
        """For people."""
        return "the next delivery says its columns" if self.learnt else "the next publication may change its columns"

    @property
    def decision(self) -> dict[str, Any]:
        """What is agreed to."""
        return {"learnt": self.learnt}


class Rename(Value, tag=PlanStepKind.RENAME.value):
    """An asset's table, and all that is known of it, go on under another name."""

    node: str
    former: str

    @property
    def detail(self) -> str:
        """For people."""
        return f"was {self.former}"

    @property
    def decision(self) -> dict[str, Any]:
        """What is agreed to."""
        return {"former": self.former}


class Repartition(Value, tag=PlanStepKind.REPARTITION.value):
    """Everything that is published of a node is taken back: its partitions are cut otherwise from now on."""

    node: str
    before: str
    after: str
    range: PartitionRangeSummary = NO_PARTITIONS

    @property
    def detail(self) -> str:
        """For people."""
        return f"{self.before} → {self.after}: what is published is unpublished"

    @property
    def decision(self) -> dict[str, Any]:
        """What is agreed to."""
        return {"before": self.before, "after": self.after, **self.range.decision}


class Remap(Value, tag=PlanStepKind.REMAP.value):
    """Deliveries of a source are re-ingested, because what is declared says something else of them."""

    node: str
    keys: tuple[str, ...]
    """The partitions, in order."""
    names: bool = True
    """Whether names of columns do; else only what is held, rejected or failed is read again."""

    @property
    def range(self) -> PartitionRangeSummary:
        """From the first to the last of them."""
        return PartitionRangeSummary(first=self.keys[0], last=self.keys[-1], partitions=len(self.keys))

    @property
    def detail(self) -> str:
        """For people."""
        return "deliveries are re-ingested by other names" if self.names else "held or failed deliveries are re-ingested"

    @property
    def decision(self) -> dict[str, Any]:
        """What is agreed to."""
        return {"from": self.keys[0]}


class Invalidate(Value, tag=PlanStepKind.INVALIDATE.value):
    """Everything that is published of a node is stale, because it was computed by other code."""

    node: str
    asks: bool
    """Readers keep what they see until somebody asks for more; else it is computed again by itself."""
    consumers: tuple[str, ...] = ()
    """Whom it reaches."""
    range: PartitionRangeSummary = NO_PARTITIONS
    needs_approval: bool = False
    """Policy asks for an approval of computing it again. No decision: it follows from the policy,
    which is among the files, and from how many partitions there are."""

    @property
    def detail(self) -> str:
        """For people."""
        if not self.asks:
            return "computed again by the next run"
        approval = ", which needs an approval" if self.needs_approval else ""
        return f"stale until somebody asks for it again{approval}"

    @property
    def decision(self) -> dict[str, Any]:
        """What is agreed to."""
        return {"asks": self.asks, "consumers": list(self.consumers), **self.range.decision}


class Retire(Value, tag=PlanStepKind.RETIRE.value):
    """A node isn't declared any more: nothing of it is computed, exported or promised from now on. What is published stays."""

    node: str
    what: str
    """`source`, `asset` or `consumer`."""
    range: PartitionRangeSummary = NO_PARTITIONS

    @property
    def detail(self) -> str:
        """For people."""
        return f"the {self.what} isn't declared any more"

    @property
    def decision(self) -> dict[str, Any]:
        """What is agreed to."""
        return {"what": self.what}


class Promote(Value, tag=PlanStepKind.PROMOTE.value):
    """Partitions that an environment has built are published as they are."""

    node: str
    environment: str
    range: PartitionRangeSummary

    @property
    def detail(self) -> str:
        """For people."""
        return f"published as {self.environment} built it"

    @property
    def decision(self) -> dict[str, Any]:
        """What is agreed to: what the environment builds later isn't part of it."""
        range_ = self.range
        return {"environment": self.environment, "from": range_.first, "to": range_.last, "partitions": range_.partitions}


Step: TypeAlias = Declare | Weaken | Unpin | Rename | Repartition | Remap | Invalidate | Retire | Promote


def kind_of(step: Step) -> PlanStepKind:
    """What it does."""
    return PlanStepKind(str(step.__struct_config__.tag))


def range_of(step: Step) -> PartitionRangeSummary | None:
    """The partitions that it touches; None for a step that touches none by itself."""
    match step:
        case Declare() | Weaken() | Unpin() | Rename():
            return None
        case _:
            return step.range
