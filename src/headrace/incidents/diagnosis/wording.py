"""Causes in words: one clause for people, and the detail that goes into the fingerprint."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from headrace.incidents.diagnosis.candidates import (
    HISTORY,
    CauseCandidate,
    confidence,
    history_summary,
)
from headrace.incidents.diagnosis.evidence import (
    ENVIRONMENT,
    OF_FILES,
    Evidence,
    Family,
    detail_of,
    says_denied,
    says_no_space,
)
from headrace.model.causes import Cause, CauseKind
from headrace.model.errors import DELIVERED_AS, OUTSIZED, SIZE
from headrace.model.texts import BEGIN

_SIGNAL = re.compile(r"\bSIG[A-Z]+\b")
_SAYS = (
    Family.ERROR,
    Family.EXPORT,
    Family.ACCESS,
    Family.LOST,
    Family.RESOURCES,
    Family.ACT,
    Family.ABSENCE,
    Family.DURATION,
    Family.CHECK,
)
_SINGLE = re.compile(
    r"^type; first value that isn't [^:(;']*?( \(\S+\))?: '.*' at line ([\d,]+), 1 row(?:;|$)",
    re.DOTALL,
)
"""A column with a single value of another type: the form of the other values, and the line."""
_RESTATED = re.compile(r"(.+): ([\d,]+) rows?(?:, (.+))?", re.DOTALL)
_CAME = re.compile(r"([\d,]+) rows? added, ([\d,]+) rows? removed")
_NAMED = "category mix: "
_VALUE = re.compile(f": [{BEGIN}'\"]")
"""Stands before a value; those of earlier versions aren't marked."""
_LISTED = "other names"
CLAUSE_MAX = 160
WITHDRAWN = "withdrawn: "
"""Prefix of a clause about a withdrawn publication."""
NAMES_TOLD = 3


def described_cause(candidate: CauseCandidate) -> Cause:
    """Return a candidate as the cause that it is."""
    ids = tuple(each.id for each in candidate.own_evidence)
    explains = tuple(dict.fromkeys((*ids, *(each.id for each in candidate.symptoms))))
    if candidate.reported_cause is not None:
        return msgspec.structs.replace(candidate.reported_cause, own=(), explains=explains)
    restated = (
        restated_columns(candidate.own_evidence) if candidate.kind is CauseKind.RESTATEMENT else ()
    )
    columns = tuple(sorted({*candidate.columns, *restated}))
    return Cause(
        kind=candidate.kind,
        node=candidate.node,
        nodes=candidate.nodes,
        partitions=tuple(sorted(candidate.partitions)),
        columns=columns,
        detail=HISTORY if candidate.history else detail_of(candidate.kind, candidate.own_evidence),
        summary=_summary(candidate, columns),
        began_us=candidate.began_us,
        confidence=confidence(candidate),
        own=ids,
        explains=explains,
    )


def _summary(candidate: CauseCandidate, columns: Sequence[str]) -> str:
    if candidate.history:
        return history_summary(candidate)[: 2 * CLAUSE_MAX]  # of several kinds
    text = _of_partitions(candidate, columns)
    if candidate.latent:
        text = f"{text}; nothing was noticed at {candidate.node} itself"
    text = f"{len(candidate.nodes) + 1} nodes: {text}" if candidate.nodes else text
    if candidate.version:
        of_place = candidate.kind is CauseKind.CONFIGURATION_ERROR
        what = "where or when it is observed" if of_place else "its code"
        text = f"{text}; version {candidate.version} changed {what}"
    # a truncated proposal is useless
    if candidate.kind is not CauseKind.DEADLINE_INFEASIBLE and len(text) > CLAUSE_MAX:
        text = f"{text[: CLAUSE_MAX - 1]}…"
    lapsed = exceptions_lapsed(candidate.own_evidence)
    return f"{text}; {lapsed}" if lapsed else text


def _of_partitions(candidate: CauseCandidate, columns: Sequence[str]) -> str:
    """Return the clause for all partitions or, if each has its own, that of the first."""
    clause = _CLAUSES.get(candidate.kind, _observed)
    text, keys = clause(candidate.own_evidence, columns), sorted(candidate.partitions)
    each = {
        key: clause([seen for seen in candidate.own_evidence if seen.partition == key], columns)
        for key in keys
    }
    if text not in each.values() or len(set(each.values())) == 1:
        return text
    return f"{len(keys)} partitions, {keys[0]} to {keys[-1]}, first: {each[keys[0]]}"


def _too_early(own_evidence: Sequence[Evidence], columns: Sequence[str]) -> str:
    """Return when the interval is usually published, and what would have to change."""
    evidence = next(
        (each for each in own_evidence if each.kind == CauseKind.DEADLINE_INFEASIBLE), None
    )
    return (
        _observed(own_evidence, columns)
        if evidence is None
        else f"{evidence.observed}; due {evidence.expected}"
    )


def exceptions_lapsed(own_evidence: Iterable[Evidence]) -> str:
    """Return a clause about whose exceptions have lapsed; empty for none."""
    results = {
        (evidence.node, evidence.partition): evidence.lapsed
        for evidence in own_evidence
        if evidence.lapsed
    }
    if not results:
        return ""
    people = sorted(set(results.values()))
    if len(results) > 1:
        return f"{len(results)} exceptions of {listed(people)} have lapsed"
    return f"the exception of {people[0]} has lapsed"


def _schema(own_evidence: Sequence[Evidence], _: Sequence[str]) -> str:
    how = dict.fromkeys(
        (each.column, each.detail.partition(";")[0])
        for each in own_evidence
        if each.family is Family.SCHEMA
    )
    counted = Counter(what for _, what in how)
    words = {"": "changed", "dropped": "gone", "added": "new"}
    clauses = [
        f"{n} column{'s' if n > 1 else ''} {words.get(what, what)}" for what, n in counted.items()
    ]
    return ", ".join([*clauses, *_values_too(own_evidence)]) or "names changed"


def _values_too(own_evidence: Sequence[Evidence]) -> list[str]:
    """Return clauses about renamed columns whose values changed as well."""
    parts = [
        (evidence.column, part.partition(",")[0])
        for evidence in own_evidence
        if evidence.family is Family.SCHEMA
        for part in evidence.detail.split("; ")[1:]
        if part.startswith("values ")
    ]
    clauses = [f"{column}: {what}" for column, what in dict.fromkeys(parts)]
    return [
        *clauses[:NAMES_TOLD],
        *([f"and {len(clauses) - NAMES_TOLD} more"] if len(clauses) > NAMES_TOLD else []),
    ]


def _format(own_evidence: Sequence[Evidence], columns: Sequence[str]) -> str:
    """Return the clause about a changed form of columns, or of a whole file."""
    if own_evidence[0].family is not Family.FORMAT:
        return _observed(own_evidence, columns)
    _, _, why = own_evidence[0].detail.partition("; ")
    if not columns:
        return why.partition(" (")[0] or "written otherwise"
    how = (
        ""
        if own_evidence[0].observed in own_evidence[0].detail
        else f": {own_evidence[0].observed}"
    )
    return f"{listed(columns)} written otherwise{how}"


def _in(what: str) -> Callable[[Sequence[Evidence], Sequence[str]], str]:
    def say(own_evidence: Sequence[Evidence], columns: Sequence[str]) -> str:
        return f"{what} in {listed(columns)}" if columns else _checks(own_evidence) or what

    return say


def _types(own_evidence: Sequence[Evidence], columns: Sequence[str]) -> str:
    """Return the clause about columns of another type; a single bad value has its line."""
    bad = [evidence for evidence in own_evidence if evidence.family is Family.TYPE]
    single = _SINGLE.search(bad[0].detail) if len(bad) == 1 else None
    if single is None:
        return _in("another type")(own_evidence, columns)
    form, line = single.group(1) or "", single.group(2)
    return f"1 value of {bad[0].column} isn't {bad[0].expected}{form}, at line {line}"


def _keys(seen: Sequence[Evidence], columns: Sequence[str]) -> str:
    if seen[0].detail.startswith("other names: "):  # held before any join used them
        return f"other keys in {listed(columns)} than in the interval before"
    if seen[0].detail.startswith("unknown keys"):
        return f"{seen[0].observed} have keys in {seen[0].column} that the intervals before hadn't"
    return _in("keys without what they refer to")(seen, columns)


def _values(own_evidence: Sequence[Evidence], columns: Sequence[str]) -> str:
    """Return the clause about changed values, with the name under which they were delivered."""
    names = {
        part
        for evidence in own_evidence
        for part in evidence.detail.split("; ")
        if part.startswith(DELIVERED_AS)
    }
    return ", ".join(
        [
            _other_values(own_evidence, columns),
            *(names if len(names) == 1 and len(columns) == 1 else ()),
        ]
    )


def _other_values(own_evidence: Sequence[Evidence], columns: Sequence[str]) -> str:
    how = _how(own_evidence[0])
    if how:  # other columns have other changes, which only the evidence names
        alike = {evidence.column for evidence in own_evidence if _alike(how, _how(evidence))}
        columns = [name for name in columns if name in alike]
    where = listed(columns)
    if not where:
        return _checks(own_evidence) or "values changed"
    if not how:
        return _checks(own_evidence) or f"values of {where} changed"
    return _changed_values(how, where)


def _changed_values(how: str, where: str) -> str:
    """Return the clause about columns whose values changed in a known way.

    The names of categories are cell values, which clauses must not contain.
    """
    if how.startswith(_NAMED):
        if how.endswith(" is new"):
            return f"{where}: a category that never was"
        return f"{where}: categories under other names"
    if _is_listed(how):
        return f"{where}: other names in a list that was always the same"
    return f"{where} {how}" if how.removeprefix("about ")[0] in "×÷" else f"{how} of {where}"


def _how(evidence: Evidence) -> str:
    """Return how the values of a column changed; empty for a failed check."""
    if evidence.family is Family.CHECK:
        return ""
    return evidence.detail.removeprefix(SIZE).partition(";")[0]


def _alike(how: str, other: str) -> bool:
    """Return whether one clause describes both changes, since names differ between columns."""
    if how.startswith(_NAMED):
        return other.startswith(_NAMED) and how.endswith(" is new") == other.endswith(" is new")
    return _is_listed(other) if _is_listed(how) else how == other


def _is_listed(how: str) -> bool:
    return how.startswith(_LISTED) and _VALUE.search(how) is not None


def _volume(own_evidence: Sequence[Evidence], _: Sequence[str]) -> str:
    whole = next((evidence for evidence in own_evidence if evidence.detail in OF_FILES), None)
    if whole is not None:
        return whole.observed
    how = (
        _VALUE.split(own_evidence[0].detail.partition(";")[0], 1)[0]
        if own_evidence[0].family is not Family.CHECK
        else ""
    )
    if how.startswith("×"):
        return f"{own_evidence[0].observed}, expected {own_evidence[0].expected}"
    return how or _checks(own_evidence) or own_evidence[0].observed


def _absent(own_evidence: Sequence[Evidence], _: Sequence[str]) -> str:
    missing = sum(1 for evidence in own_evidence if evidence.family is Family.ARRIVAL)
    if any("asked for a pause" in evidence.observed for evidence in own_evidence):
        return f"not loaded {own_evidence[0].expected}: the server asked for a pause"
    return (
        f"{missing} intervals not there"
        if missing > 1
        else f"not there {own_evidence[0].expected}".rstrip()
    )


def _restated(own_evidence: Sequence[Evidence], _: Sequence[str]) -> str:
    """Return the clause about a restatement.

    For one interval it says what changed, for several which columns changed.
    """
    if len(own_evidence) == 1 or not (changed := restated_columns(own_evidence)):
        counted = own_evidence[0].detail.partition("; ")[0]
        match = _CAME.fullmatch(counted)
        grew = match is not None and match[1] != match[2]  # then the columns say less than the rows
        text = counted if grew else own_evidence[0].detail
        return f"restated: {text}" if text else "restated"
    hows = {how for _, _, how in _restated_parts(own_evidence) if how}
    how = f", {hows.pop()}" if len(hows) == 1 else ""
    rows = sum(count for _, count, _ in _restated_parts(own_evidence))
    return f"restated in {len(own_evidence)} intervals: {listed(changed)} in {rows:,} rows{how}"


def restated_columns(own_evidence: Iterable[Evidence]) -> list[str]:
    """Return the columns that restatements changed, by name."""
    return sorted({column for column, _, _ in _restated_parts(own_evidence)})


def _restated_parts(own_evidence: Iterable[Evidence]) -> list[tuple[str, int, str]]:
    """Return (column, rows, how they changed) from the details of restatements."""
    parts = (
        part
        for evidence in own_evidence
        if evidence.family is Family.RESTATED
        for part in evidence.detail.split("; ")[1:]
    )
    result = (_RESTATED.fullmatch(part) for part in parts)
    return [
        (match[1], int(match[2].replace(",", "")), match[3] or "")
        for match in result
        if match is not None
    ]


def _damaged(own_evidence: Sequence[Evidence], _: Sequence[str]) -> str:
    files = len({evidence.expected for evidence in own_evidence})
    text = own_evidence[0].observed.partition(" (")[0]
    return text if files == 1 else f"{files} files are damaged: {text}"


def _exhausted(own_evidence: Sequence[Evidence], columns: Sequence[str]) -> str:
    """Return the clause about exhausted resources.

    For a disk it says what is wrong, since the error begins with the path that couldn't be written.
    """
    if own_evidence[0].error_kind == ENVIRONMENT:
        if says_denied(own_evidence[0].observed):
            return "Headrace has no right to use a file or folder of the lake"
        return (
            "no space left on the disk"
            if says_no_space(own_evidence[0].observed)
            else "the disk can't be used"
        )
    return _observed(own_evidence, columns)


def _configured(own_evidence: Sequence[Evidence], columns: Sequence[str]) -> str:
    """Return the clause about a wrong declaration; for a contract's columns, with its place."""
    clauses = [
        f"{evidence.column} is declared {evidence.observed}, and delivered as {evidence.expected}"
        for evidence in own_evidence
        if evidence.family is Family.TYPE
    ]
    clauses += [
        f"check {evidence.detail} fails, and would have failed before it was declared"
        for evidence in own_evidence
        if evidence.family is Family.CHECK
    ]
    return "; ".join(dict.fromkeys(clauses)) or _observed(own_evidence, columns)


def _slow(own_evidence: Sequence[Evidence], _: Sequence[str]) -> str:
    seconds = own_evidence[0].observed.partition(";")[0].partition(",")[0]
    return f"it ran for {seconds}, usually {own_evidence[0].expected}"


def _poison(own_evidence: Sequence[Evidence], _: Sequence[str]) -> str:
    outsized = [
        evidence.detail for evidence in own_evidence if evidence.detail.startswith(OUTSIZED)
    ]
    if len(outsized) == len(own_evidence):
        what, _, size = outsized[0].partition(": ")
        return (
            f"{len(own_evidence)} deliveries take more memory or time than an attempt may"
            if len(own_evidence) > 1
            else f"its delivery of {size}, {what}"
        )
    signal = _SIGNAL.search(own_evidence[0].observed)
    by = f" (by {signal[0]})" if signal is not None else ""
    if len(own_evidence) > 1:
        return f"{len(own_evidence)} deliveries end the processes that read them{by}"
    return f"its delivery ends the process that reads it{by}"


def _observed(own_evidence: Sequence[Evidence], columns: Sequence[str]) -> str:
    if own_evidence[0].family is Family.VOLUME:
        return _volume(own_evidence, columns)
    if own_evidence[0].family is Family.DISTRIBUTION and own_evidence[0].column:
        return _values(own_evidence, columns or (own_evidence[0].column,))
    if own_evidence[0].family is Family.NULLS and own_evidence[0].column:
        return _in("nulls")(own_evidence, columns or (own_evidence[0].column,))
    if own_evidence[0].observed.startswith(WITHDRAWN):
        return own_evidence[0].observed  # with the reason and the name
    text = (
        own_evidence[0].observed
        if own_evidence[0].family in _SAYS
        else own_evidence[0].detail or own_evidence[0].observed
    )
    text = text.partition(" (")[0].partition("; ")[0].partition("\n")[0]
    return _checks(own_evidence) or text or own_evidence[0].family.value


def _checks(own_evidence: Sequence[Evidence]) -> str:
    names = sorted(
        {
            evidence.detail
            for evidence in own_evidence
            if evidence.family is Family.CHECK and evidence.detail
        }
    )
    return f"check {listed(names)} fail{'s' if len(names) == 1 else ''}" if names else ""


def listed(names: Sequence[str], limit: int = NAMES_TOLD) -> str:
    """Return at most `limit` names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


_CLAUSES: dict[CauseKind, Callable[[Sequence[Evidence], Sequence[str]], str]] = {
    CauseKind.SCHEMA_CHANGE: _schema,
    CauseKind.FORMAT_CHANGE: _format,
    CauseKind.TYPE_CHANGE: _types,
    CauseKind.NULL_SPIKE: _in("nulls"),
    CauseKind.REFERENCE_BROKEN: _keys,
    CauseKind.DISTRIBUTION_SHIFT: _values,
    CauseKind.VOLUME_ANOMALY: _volume,
    CauseKind.LATE_SOURCE: _absent,
    CauseKind.MISSING_SOURCE: _absent,
    CauseKind.RESTATEMENT: _restated,
    CauseKind.DEADLINE_INFEASIBLE: _too_early,
    CauseKind.DATA_CORRUPTED: _damaged,
    CauseKind.CONFIGURATION_ERROR: _configured,
    CauseKind.RESOURCE_EXHAUSTED: _exhausted,
    CauseKind.POISON_DELIVERY: _poison,
    CauseKind.SLOW_RUN: _slow,
}
