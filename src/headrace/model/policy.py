"""The policy: which consequences of a plan need an approval, and whose."""

from __future__ import annotations

import math

import msgspec

from headrace.model.access import Role

APPROVAL = "backfill_approval"
"""The rule for backfills and runs that existed before `[[policy.rule]]`."""
OWNERS_SHOWN_MAX = 8
EXPIRES_DAYS = 7
"""A plan that waits longer can't be approved any more: its estimate and its reason are old."""
EXPIRES_US = EXPIRES_DAYS * 86_400_000_000
NODES_MAX = 200
"""At most this number of nodes is stored of what an approval is about."""

# What a plan does, and what rules say about it.

NUMBERS = (
    "partitions",
    "rows",
    "bytes",
    "seconds",
    "cost",
    "consumers",
    "domains",
    "consumers_crossing_domain",
    "contracts_crossing_domain",
)
FLAGS = ("weakens", "breaks", "classified")
NAMES = ("tag", "owner", "domain")


class ReadingDomain(msgspec.Struct, frozen=True, kw_only=True):
    """A domain that reads what another domain's contract promises."""

    domain: str
    owners: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    """The nodes of the domain downstream of the contract's node, by name."""


class ChangedContract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract that takes back something while other domains read its node."""

    node: str
    contract: str = ""
    before: str = ""
    """The contract's version that is applied."""
    after: str | None = None
    """Its new version; None if the node has no contract any more."""
    changes: tuple[str, ...] = ()
    """What it takes back, in words."""
    readers: tuple[ReadingDomain, ...] = ()


class Consequence(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan does to published data and to the people who read it."""

    partitions: int = 0
    """Partitions that are computed, ingested or unpublished."""
    rows: int = 0
    """Published rows that are replaced or unpublished, or quarantined rows that are released."""
    stale: int = 0
    """Partitions that become stale, or do once what they read is recomputed by a backfill."""
    bytes: int = 0
    """Estimated bytes that are written."""
    seconds: float = 0
    """Estimated duration; 0 if unknown."""
    cost: float | None = 0
    """Predicted cost of the computation in the currency of `[costs]`; None if unknown."""
    nodes: tuple[str, ...] = ()
    """The nodes that change, by name."""
    consumers: tuple[str, ...] = ()
    """The consumers that read changed data, by name."""
    crossing: tuple[str, ...] = ()
    """The consumers whose domain isn't the one in which the change begins."""
    domains: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    weakens: tuple[str, ...] = ()
    """Promises, checks and rules that become weaker, in words."""
    breaks: tuple[str, ...] = ()
    """Nodes of which a reader loses a column, or reads it with another type or meaning."""
    classified: tuple[str, ...] = ()
    """NODE.COLUMN of classified columns in the changed data."""
    contracts: tuple[ChangedContract, ...] = ()
    """Contracts that take back something which another domain reads."""

    def number(self, name: str) -> float:
        """Return a number of `NUMBERS`. An unknown cost is larger than each limit."""
        if name == "cost":
            return math.inf if self.cost is None else self.cost
        if name == "consumers_crossing_domain":
            return len(self.crossing)
        if name == "contracts_crossing_domain":
            return len(self.contracts)
        value = getattr(self, name)
        return len(value) if isinstance(value, tuple) else value

    def has(self, kind: str, name: str) -> bool:
        """Return whether a tag, owner or domain is among those that are reached."""
        return name in getattr(self, f"{kind}s")


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """Whose approval a rule asks for: `count` people with the role for one of `nodes`.

    `of` is as declared, or one domain. Without `nodes` the role is one for the whole project.
    """

    role: Role
    of: str
    count: int = 1
    owners: tuple[str, ...] = ()
    """The owners of the nodes, for people who look for somebody to ask."""
    nodes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Text for users: `2 people with the role owner for a node that it reaches (finance)`."""
        people = "another person" if self.count == 1 else f"{self.count} other people"
        owners = f" (of {', '.join(self.owners[:OWNERS_SHOWN_MAX])})" if self.owners else ""
        return f"{people} with the role {self.role} {_OF.get(self.of, f'in {self.of}')}{owners}"


_OF = {
    "affected": "for something that it reaches",
    "changed": "for something that it changes",
    "project": "for the whole project",
}


class NeedDeclaration(msgspec.Struct, frozen=True, kw_only=True):
    """One of `needs` in `[[policy.rule]]`."""

    role: Role
    of: str


class PolicyRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of `headrace.toml`."""

    name: str
    when: str
    needs: tuple[NeedDeclaration, ...] = ()
    """Empty: anybody who may approve, except the person who asked."""
    count: int = 1
    line: int = 1


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """`[[policy.tests]]`: what an actor's plan is answered with."""

    actor: str
    plan: Consequence
    command: str
    expect: str
    line: int = 1


class Approval(msgspec.Struct, frozen=True):
    """The rules that ask for an approval of a plan: the first one, and `also` the others."""

    rule: str
    file: str
    line: int
    name: str = APPROVAL
    needs: tuple[Need, ...] = ()
    also: tuple[str, ...] = ()
    consequence: Consequence | None = None

    def __str__(self) -> str:
        named = (
            f"{APPROVAL} = {self.rule!r}"
            if self.name == APPROVAL
            else f"rule {self.name!r}: {self.rule}"
        )
        return "; ".join([f"{self.file}:{self.line} {named}", *self.also])
