"""How a declaration says that data is cut: `partition:` and the `start` that goes with it."""

from __future__ import annotations

from typing import Any

from headrace.model.documents import LocatedMapping, kind_of
from headrace.model.fields import Fields
from headrace.model.nodes import Grain, PartitionSpec
from headrace.model.other_tools import VALUES
from headrace.model.reporting import did_you_mean, shown
from headrace.model.required import WHOLE

KEYS_MAX = 10_000
"""Fixed keys that a declaration may list."""
KEY_CHARACTERS_MAX = 1_000
_FORMS = "`day`, `{by: day, column: flight_date}`, `{key: region}`, `[day, {key: region}]` or `'*'`"


def read_partition(fields: Fields) -> PartitionSpec:
    """The field `partition`; the whole where it isn't there or can't be read."""
    if "partition" not in fields:
        return PartitionSpec()
    written = fields.raw("partition")
    if not isinstance(written, list):
        return _part(fields, written) or PartitionSpec()
    parts = [part for part in (_part(fields, item) for item in written) if part is not None]
    times, keys = [part for part in parts if part.grain], [part for part in parts if part.key]
    if len(written) != 2 or len(times) != 1 or len(keys) != 1:
        if len(parts) == len(written):
            fields.refuse("partition", "a list cuts by one time and one key", "write [day, {key: region}]")
        return PartitionSpec()
    return PartitionSpec(grain=times[0].grain, column=times[0].column, key=keys[0].key, values=keys[0].values)


def _part(fields: Fields, written: Any) -> PartitionSpec | None:
    if isinstance(written, str):
        return PartitionSpec() if written == WHOLE else _by(fields, written, None)
    if not isinstance(written, LocatedMapping):
        fields.refuse("partition", f"`partition` can't be {kind_of(written)}", f"write {_FORMS}", code="wrong_type")
        return None
    if "key" in written:
        return _by_key(Fields(written, fields.report, ("key", "values"), what="`partition`"))
    inner = Fields(written, fields.report, ("by", "column"), what="`partition`")
    column = inner.text("column") if "column" in inner else None
    grain = inner.required("by", "write {by: day, column: flight_date}")
    return None if grain is None else _by(fields, grain, column)


def _by(fields: Fields, grain: str, column: str | None) -> PartitionSpec | None:
    if grain in tuple(Grain):
        return PartitionSpec(grain=Grain(grain), column=column)
    hint = VALUES.get(("partition", grain.lower())) or did_you_mean(grain, tuple(Grain)) or f"write {_FORMS}"
    fields.refuse("partition", f"{shown(grain)} is no way to cut time", hint)
    return None


def _by_key(fields: Fields) -> PartitionSpec | None:
    key = fields.required("key")
    values = fields.texts("values") if "values" in fields else None
    if values is not None and not 0 < len(values) <= KEYS_MAX:
        fields.refuse("values", f"`values` lists {len(values):,} keys", f"from 1 to {KEYS_MAX:,}; leave it out for keys that grow")
        return None
    if values is not None and (len(set(values)) < len(values) or max(map(len, values)) > KEY_CHARACTERS_MAX):
        fields.refuse(
            "values", "`values` lists a key twice, or one that is too long", f"each once, at most {KEY_CHARACTERS_MAX:,} characters"
        )
        return None
    return None if key is None else PartitionSpec(key=key, values=values)


def read_start(fields: Fields) -> str | None:
    """The field `start` as written; whether it is a key of the grain is known once the time zone is."""
    written = fields.raw("start")
    if isinstance(written, int) and not isinstance(written, bool) and 1000 <= written <= 9999:
        return str(written)  # a year
    return fields.text("start") if "start" in fields else None
