"""The change of a finding of `optimize`: its edit, and the checks that it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from headrace.extension import HeadraceError, ProjectSession, Refused, command_line
from headrace.plan import Compiled
from headrace.project.session import InvalidProject
from headrace_advisor.analysis.advice import Premise, Verdict
from headrace_advisor.analysis.checking import Advice
from headrace_advisor.analysis.edits import edited
from headrace_advisor.analysis.project_advice import ProjectFinding
from headrace_advisor.analysis.project_tables import ProjectTables
from headrace_advisor.services.changed_assets import ChangedProject, compiled_with, text_of
from headrace_advisor.services.check_insertion import insert_checks
from headrace_advisor.services.optimize import AssetAdvice, asset_advice, text_of_project
from headrace_advisor.services.project_rules import advice_of_project

_UNIQUE = re.compile(r"\((\w+(?:, \w+)*)\) is unique in (\w+)")
_NOT_NULL = re.compile(r"(\w+) of (\w+) is never NULL")
_ADDS = "; adds "
CHECK_ROUNDS_MAX = 3
"""Checks are added up to this many times, each time those that the proof still lacks."""
OF_PROJECT_KINDS = ("drop_column", "drop_join", "merge_assets", "incremental")
"""Kinds of findings about the whole project that can be measured."""
NO_CONTENTS: Mapping[str, bytes] = MappingProxyType({})
_EVIDENCE = "an optimised query depends on it"


class NewCheck(NamedTuple):
    """A check that a change adds to a node, as YAML."""

    node: str
    yaml: str

    def __str__(self) -> str:
        return f"`{self.yaml}` of {self.node}"


class FindingChange(NamedTuple):
    """A finding's change: the files' new contents, and the project compiled with them."""

    advice: Advice
    contents: dict[str, bytes]
    changed: ChangedProject
    checks: tuple[NewCheck, ...]
    assets: tuple[str, ...]
    """The assets whose queries it changes."""
    leaves_out: tuple[str, ...] = ()
    """The columns that it takes out of their results."""
    splits: bool = False
    """Whether it partitions an asset, which is unpartitioned."""

    @property
    def is_proven(self) -> bool:
        """Whether the finding is proven, with the checks that the change adds."""
        return self.advice.finding.verdict is Verdict.PROVEN

    @property
    def text(self) -> str:
        """The change in words, with the checks that it adds."""
        words = self.advice.finding.message
        return f"{words}{_ADDS}{', '.join(map(str, self.checks))}" if self.checks else words


def checks_in(text: str) -> str:
    """Return which checks a change adds, from its words; empty if none."""
    return text.partition(_ADDS)[2]


def change_of(
    session: ProjectSession,
    tables: ProjectTables,
    asset: str,
    finding: str,
    contents: Mapping[str, bytes] | None = None,
) -> FindingChange:
    """Return the change of a finding, in a project with other contents for some files.

    Checks are added for premises without a guard, if the finding is proven then. Raise Refused for
    a finding that doesn't exist (any more), or that has nothing to edit.
    """
    given = dict(contents or {})
    match = _finding(session, tables, asset, finding, given)
    if match is None:
        return _change_of_project(session, tables, asset, finding, given)
    guarded = _with_checks(session, tables.compiled, asset, match, given)
    checks: tuple[NewCheck, ...] = ()
    if guarded is not None:
        match, given, checks = guarded
    text = edited(match.advice.text or "", match.item.finding.edits)
    given[match.advice.file] = text.encode()
    return FindingChange(match.item, given, compiled_with(session, given), checks, (asset,))


def _change_of_project(
    session: ProjectSession,
    tables: ProjectTables,
    asset: str,
    finding: str,
    contents: Mapping[str, bytes],
) -> FindingChange:
    item = measurable_in_project(session, tables, contents).get(finding)
    if item is None:
        raise Refused(
            f"{finding} is withdrawn: {asset} hasn't this finding any more",
            hint=command_line("optimize"),
        )
    return change_of_project(session, tables, item, contents)


def measurable_in_project(
    session: ProjectSession, tables: ProjectTables, contents: Mapping[str, bytes] = NO_CONTENTS
) -> dict[str, ProjectFinding]:
    """Return the findings about the whole project that have edits and can be measured, by id.

    `contents` replaces what files of the project hold.
    """

    def text_of_file(file: str) -> str | None:
        given = contents.get(file)
        return text_of_project(session.root, file) if given is None else given.decode()

    compiled = tables.compiled
    advice = advice_of_project(session, compiled, tables, text_of_file, compiled.order)
    return {
        item.id: item for item, _ in advice if item.edits and item.finding.kind in OF_PROJECT_KINDS
    }


def change_of_project(
    session: ProjectSession,
    tables: ProjectTables,
    item: ProjectFinding,
    contents: Mapping[str, bytes] = NO_CONTENTS,
) -> FindingChange:
    """Return the change of a finding about the whole project.

    Raise Refused if the changed project has errors, and if it changes an asset that the reader may
    not see.
    """
    given = {**contents, **{edit.file: edit.after.encode() for edit in item.edits}}
    try:
        changed = compiled_with(session, given)
    except InvalidProject as error:
        raise Refused(
            f"with this change alone, the project has an error: {error.problems[0].message}",
            hint="headrace optimize",
        ) from error
    before, after = tables.compiled, changed.compiled
    finding = item.finding
    splits = finding.kind == "incremental"
    assets = tuple(
        name
        for name in before.order
        if (name == item.asset and splits)
        or (name in before.project.assets and before.nodes[name].sql != after.nodes[name].sql)
    )
    if not all(session.shows(name) for name in assets):
        raise Refused("it changes queries that your roles don't show")
    leaves_out = finding.columns if finding.kind in ("drop_column", "drop_join") else ()
    advice = Advice(item.id, 0, finding, item.diff)
    return FindingChange(advice, given, changed, (), assets, leaves_out, splits)


class _Match(NamedTuple):
    item: Advice
    advice: AssetAdvice

    @property
    def edit(self) -> tuple[tuple[int, int, str], ...]:
        """The edit in the query, wherever the query begins."""
        start = self.advice.offset
        return tuple(
            (e.start - start, e.end - start, e.replacement) for e in self.item.finding.edits
        )


def _finding(
    session: ProjectSession,
    tables: ProjectTables,
    asset: str,
    finding: str,
    contents: Mapping[str, bytes],
) -> _Match | None:
    """Return a finding in an asset's query; None if there is none with this id."""
    advice = asset_advice(session.root, tables, asset, contents)
    item = next((item for item in advice.items if item.id == finding), None)
    if item is None:
        return None
    if not item.finding.edits or item.diff is None or advice.text is None:
        raise Refused(
            f"{finding} has no edit: {item.finding.message}", hint=command_line("optimize", asset)
        )
    return _Match(item, advice)


class _Guarded(NamedTuple):
    match: _Match
    contents: dict[str, bytes]
    checks: tuple[NewCheck, ...]


def _with_checks(
    session: ProjectSession,
    compiled: Compiled,
    asset: str,
    match: _Match,
    contents: Mapping[str, bytes],
) -> _Guarded | None:
    """Return a finding that is proven with additional checks; None if none are missing or help."""
    given, added, now = dict(contents), tuple[NewCheck, ...](), compiled
    current = match
    for _ in range(CHECK_ROUNDS_MAX):
        checks = _missing_checks(now, current.item)
        if not checks or set(checks) <= set(added):
            return None
        added += checks
        try:
            for check in checks:
                _add_check(session, now, check, given)
            now = compiled_with(session, given).compiled
        except HeadraceError:
            return None
        again = _same_edit(session, now, asset, match, given)
        if again is None:
            return None
        if again.item.finding.verdict is Verdict.PROVEN:
            return _Guarded(again, given, added)
        current = again
    return None


def _same_edit(
    session: ProjectSession,
    compiled: Compiled,
    asset: str,
    match: _Match,
    contents: Mapping[str, bytes],
) -> _Match | None:
    """Return the finding with the same edit, a proven one first: another rule may find it now."""
    advice = asset_advice(session.root, ProjectTables(compiled), asset, contents)
    candidates = [_Match(item, advice) for item in advice.items if item.finding.edits]
    same = [candidate for candidate in candidates if candidate.edit == match.edit]
    proven = (each for each in same if each.item.finding.verdict is Verdict.PROVEN)
    return next(proven, same[0] if same else None)


def _add_check(
    session: ProjectSession, compiled: Compiled, check: NewCheck, contents: dict[str, bytes]
) -> None:
    """Add a check to the text of its node's file. Raise HeadraceError where that isn't possible."""
    node = compiled.project.source_or_asset(check.node)
    assert node is not None
    file = node.place.file
    text = contents[file].decode() if file in contents else text_of(session.root / file)
    lines = [(check.yaml, _EVIDENCE)]
    contents[file] = insert_checks(text, file, check.node, lines).encode()


def _missing_checks(compiled: Compiled, item: Advice) -> tuple[NewCheck, ...]:
    """Return the checks that would guard all premises without a guard; empty if there are none."""
    checks = []
    for premise in sorted(item.finding.premises, key=str):
        if premise.guard is None:
            check = check_for(compiled, premise)
            if check is None:
                return ()
            checks.append(check)
    return tuple(dict.fromkeys(checks))


def check_for(compiled: Compiled, premise: Premise) -> NewCheck | None:
    """Return the check that would guard a premise; None if no check does."""
    unique = _UNIQUE.fullmatch(premise.text)
    not_null = _NOT_NULL.fullmatch(premise.text)
    if unique is not None:
        columns, node, kind = unique[1], unique[2], "unique"
    elif not_null is not None:
        columns, node, kind = not_null[1], not_null[2], "not_null"
    else:
        return None
    if compiled.project.source_or_asset(node) is None:
        return None
    return NewCheck(node, f"{kind}: [{columns}]")
