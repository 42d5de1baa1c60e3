"""Documents of `contract show` and `contract diff`."""

from __future__ import annotations

from datetime import datetime

from headrace.operations.responses import LearntRow, Response


class ContractColumnRow(Response, frozen=True, kw_only=True):
    """A column as it is promised, or as it is pinned where there is no contract. `names` is what files call it from when on."""

    name: str
    type: str | None
    required: bool
    unique: bool
    primary_key: bool
    classification: str | None
    names: list[dict[str, str]]
    used_by: list[str]


class ContractRuleRow(Response, frozen=True, kw_only=True):
    """A quality rule, as the check that it is."""

    name: str
    kind: str
    severity: str


class ServiceRow(Response, frozen=True, kw_only=True):
    """One of the contract's service levels."""

    property: str
    value: str
    unit: str


class ContractShowResponse(Response, frozen=True, kw_only=True):
    """`contract show`: what a source or an asset is held to. Without a contract (`version` None) it is what its first delivery had."""

    node: str
    kind: str
    contract: str | None
    version: str | None
    status: str | None
    file: str | None
    pinned_by: str | None
    columns: list[ContractColumnRow]
    rules: list[ContractRuleRow]
    service: list[ServiceRow]
    learnt: LearntRow | None = None
    """Of a source that was published: what its columns were learnt from."""


class ContractChangeRow(Response, frozen=True, kw_only=True):
    """One change. Of a delivery: with its policy, and who uses the column; of a contract's file: with the part of the version it takes."""

    kind: str
    column: str
    to: str | None
    score: str | None
    evidence: list[str]
    policy: str | None
    used_by: list[str]
    takes: str | None


class ContractDiffResponse(Response, frozen=True, kw_only=True):
    """`contract diff`: how a source's delivery differs from what is expected (`partition`), and what the files change of a contract that
    is applied (`applied` → `declared`, which should be at least `needs`)."""

    source: str
    partition: str | None
    at: datetime | None
    changes: list[ContractChangeRow]
    breaking: bool
    applied: str | None
    declared: str | None
    needs: str | None
