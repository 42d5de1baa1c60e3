"""`inputs:` of an asset: which nodes it reads, and how (SEMANTICS §2)."""

from __future__ import annotations

from typing import Any

from headrace.model.documents import Items, LocatedMapping, kind_of
from headrace.model.fields import Fields
from headrace.model.nodes import InputMode, InputSpec
from headrace.model.reporting import did_you_mean, one_of, shown

INPUTS_MAX = 1_000
_MODES = tuple(InputMode)
_FIELDS = ("lookback", "optional", "mode", "all", "previous", "within")


def read_inputs(fields: Fields) -> tuple[InputSpec, ...]:
    """A list of names and of `{name: how}`, or a mapping of names. Duplicates are reported."""
    written = fields.raw("inputs")
    specs: dict[str, InputSpec] = {}
    for name, how, line in _written(fields, written):
        spec = _input(fields, name, how, line)
        if name.lower() in specs:
            fields.report.error("duplicate_name", line, f"the input {shown(name)} is here twice", "keep one of them")
        elif spec is not None:
            specs[name.lower()] = spec
    if len(specs) > INPUTS_MAX:
        fields.refuse("inputs", f"{len(specs):,} inputs are too many", f"at most {INPUTS_MAX:,}")
        return ()
    return tuple(specs.values())


def _written(fields: Fields, written: Any) -> list[tuple[str, Any, int]]:
    """(name, how it is read, line) of each input."""
    if isinstance(written, str) and written.strip():
        return [(written, None, fields.line("inputs"))]
    if isinstance(written, LocatedMapping):
        return [(name, how, written.lines[name]) for name, how in written.items()]
    if not isinstance(written, list):
        fields.wrong("inputs", "a list of names", "write inputs: [flights_clean]")
        return []
    results = []
    for index, item in enumerate(written):
        line = written.lines[index] if isinstance(written, Items) else fields.line("inputs")
        if isinstance(item, str):
            results.append((item, None, line))
        elif isinstance(item, LocatedMapping):
            results.extend((name, how, item.lines[name]) for name, how in item.items())
        else:
            fields.report.error("wrong_type", line, f"an input must be a name, not {kind_of(item)}", "write inputs: [flights_clean]")
    return results


def _input(fields: Fields, name: str, how: Any, line: int) -> InputSpec | None:
    place = fields.report.place(line)
    if how is None:
        return InputSpec(node=name, place=place)
    if isinstance(how, str):
        if how in _MODES:
            return InputSpec(node=name, mode=InputMode(how), place=place)
        hint = did_you_mean(how, _MODES) or f"write {one_of(_MODES)}, or {{lookback: 7d}}"
        fields.report.error("wrong_value", line, f"{shown(how)} isn't a way to read the input {shown(name)}", hint)
        return None
    if not isinstance(how, LocatedMapping):
        fields.report.error("wrong_type", line, f"the input {shown(name)} can't be {kind_of(how)}", f"write {name}: {{lookback: 7d}}")
        return None
    inner = Fields(how, fields.report, _FIELDS, what=f"the input {shown(name)}")
    lookback = inner.duration("lookback", "") or None
    return InputSpec(node=name, mode=_mode(inner), lookback=lookback, optional=inner.flag("optional") or False, place=place)


def _mode(fields: Fields) -> InputMode:
    named = [mode for mode in ("all", "previous", "within") if mode in fields and fields.flag(mode)]
    if "mode" in fields:
        named.append(fields.choice("mode", _MODES, InputMode.REQUIRED))
    if len(set(named)) > 1:
        fields.refuse(named[0], f"{fields.what} is read in two ways: {one_of(named)}", "keep one of them", code="conflicting_fields")
    return InputMode(named[0]) if named else InputMode.REQUIRED
