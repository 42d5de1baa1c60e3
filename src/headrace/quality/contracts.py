"""What a contract promises of its columns' values, as checks: what is required isn't null, what is a key is unique."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.model import CheckSpec, ContractColumn, Place, Severity
from headrace.model.contracted import promised_of

_SEVERITIES = {"block": Severity.BLOCKING, "map": Severity.BLOCKING, "warn": Severity.WARNING}


def promised_checks(columns: Sequence[ContractColumn], place: Place, on_drift: Mapping[str, str] | None = None) -> tuple[CheckSpec, ...]:
    """Checks for the contract's `required`, `unique` and `primaryKey` (all its columns together), declared at `place`. They block, unless
    `on_drift` says otherwise of `nullability` and `keys`."""
    nulls, keys = ((_SEVERITIES.get((on_drift or {}).get(kind, "block"))) for kind in ("nullability", "keys"))
    return promised_of(columns, place, nulls, keys)
