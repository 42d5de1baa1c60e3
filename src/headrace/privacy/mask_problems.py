"""Warnings of `validate` about masks, plain hashes and forbidden columns that aren't there."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import msgspec
from sqlglot.tokenizer_core import Token, TokenType

from headrace.compiler.lineage import compile_lineage
from headrace.model import Asset, Consumer, Place, Problem, ProblemLevel, Source
from headrace.model.access import ACCESS_FILE
from headrace.model.declassification import thresholds
from headrace.model.errors import did_you_mean, shown
from headrace.model.export_problems import unneeded_clear_columns
from headrace.model.exports import clear_columns
from headrace.model.masks import classified_key, column_classes
from headrace.plan import Compiled
from headrace.plan.classification import classified_columns
from headrace.plan.column_limits import ClassifiedLimits
from headrace.plan.compiled import CompiledNode
from headrace.plan.impact import Lineage
from headrace.plan.thresholds import combined_before

_PLAIN_HASH = re.compile(r"md5(_\w+)?|sha_?(1|224|256|384|512)", re.IGNORECASE)
_BRACKETS = {"(": 1, ")": -1}


def mask_problems(compiled: Compiled, data_folder: Path) -> list[Problem]:
    """Return the warnings about a project's masks; none if no column is classified."""
    project, derived = compiled.project, _Derived(compiled, data_folder)
    problems = list(_unknown_columns(compiled))
    names = [name for name in compiled.order if column_classes(project, name)]
    cleared = [consumer for consumer in project.consumers.values() if clear_columns(consumer)]
    for name in names:
        problems += _misfits(compiled, compiled.nodes[name])
    if names:
        problems += _hashing(compiled, derived)
        problems += _derived_keys(compiled, derived)
    problems += _combined(compiled, derived)
    if cleared:
        problems += _unneeded(cleared, derived)
    return problems


class _Derived:
    """What follows from the lineage of a project, which is loaded if a warning needs it."""

    def __init__(self, compiled: Compiled, data_folder: Path) -> None:
        self._compiled, self._cache = compiled, data_folder / "cache"

    @cached_property
    def lineage(self) -> Lineage:
        return compile_lineage(self._compiled, self._cache)

    @cached_property
    def limits(self) -> ClassifiedLimits:
        return ClassifiedLimits(self._compiled, self.lineage)


def _combined(compiled: Compiled, derived: _Derived) -> Iterator[Problem]:
    """Yield a warning for each threshold whose values or people are of several rows before."""
    for asset in compiled.project.assets.values():
        for column, threshold in thresholds(asset).items():
            origins = (
                combined_before(derived.lineage, asset.name, name)
                for name in (column, threshold.people)
            )
            if (before := next(filter(None, origins), None)) is not None:
                yield _warning(
                    asset,
                    "unsafe_threshold",
                    f"{shown(column)} of {shown(asset.name)} has a threshold, and {before} may"
                    " combine several rows before: the column is left out for those who may not"
                    " read it",
                    "aggregate the rows in which the people and their values are",
                )


def _derived_keys(compiled: Compiled, derived: _Derived) -> Iterator[Problem]:
    """Yield a warning for each partition key that is computed from a classified column."""
    for name in compiled.order:
        asset = compiled.project.assets.get(name)
        key = None if asset is None else asset.partition.key
        if asset is None or key is None or key.lower() in column_classes(compiled.project, name):
            continue
        if key.lower() in derived.limits.of(name).names:
            yield classified_key(asset, key, ProblemLevel.WARNING)


def _unneeded(consumers: Sequence[Consumer], derived: _Derived) -> Iterator[Problem]:
    """Yield a warning for each column that an export needn't declare as clear."""

    def limited(read: str, column: str) -> bool:
        limits = derived.limits.of(read)
        return column in limits.masks or column in limits.left_out_of([column])

    for consumer in consumers:
        yield from unneeded_clear_columns(consumer, limited)


def _unknown_columns(compiled: Compiled) -> Iterator[Problem]:
    """Yield the forbidden columns that a node with known columns doesn't have."""
    nodes = {node.name.lower(): node for node in compiled.nodes.values()}
    rules = compiled.project.access
    for rule in rules.forbids if rules is not None else ():
        for written in rule.columns:
            name, _, column = written.partition(".")
            node = nodes.get(name.lower())
            names = node.column_names if node is not None else None
            if names is None or column.lower() in map(str.lower, names):
                continue
            yield Problem(
                code="unknown_column",
                message=f"{shown(name)} has no column {shown(column)}: the rule forbids nothing",
                hint=did_you_mean(column, names) or f"its columns are: {', '.join(names[:12])}",
                place=Place(file=ACCESS_FILE, line=rule.line),
                level=ProblemLevel.WARNING,
            )


def _hashing(compiled: Compiled, derived: _Derived) -> Iterator[Problem]:
    """Yield a warning for each plain hash of a classified column in an asset's SQL."""
    nodes = [node for node in compiled.nodes.values() if _PLAIN_HASH.search(node.sql or "")]
    if not nodes:
        return
    classified = classified_columns(compiled, derived.lineage)
    for node in nodes:
        asset = compiled.project.assets.get(node.name)
        if asset is not None:
            yield from _plain_hashes(node, asset, classified)


def _misfits(compiled: Compiled, node: CompiledNode) -> Iterator[Problem]:
    """Yield the masks whose method can't mask the column's type, where types are known."""
    from headrace.lake.tables import LakeColumn
    from headrace.model.masks import DeclaredMask
    from headrace.security.masks import fits

    columns = {name.lower(): LakeColumn(name, kind, 0) for name, kind in node.columns or ()}
    declared = compiled.project.source_or_asset(node.name)
    for name, column_class in column_classes(compiled.project, node.name).items():
        column, mask = columns.get(name), column_class.mask
        if declared is None or column is None or mask is None:
            continue
        text = msgspec.json.encode(mask).decode()
        if not fits(DeclaredMask(text, "", node.name, name), column, columns):
            yield _warning(
                declared,
                "mask_misfit",
                f"the mask {shown(mask['method'])} doesn't fit {node.name}.{column.name}, which is"
                f" {column.type}: the column is left out for those who may not read it",
                "redact, hash and token fit all types; see the page about masks",
            )


def _plain_hashes(
    node: CompiledNode, asset: Asset, classified: dict[str, frozenset[str]]
) -> Iterator[Problem]:
    inputs = {column for spec in node.inputs for column in classified.get(spec.node, ())}
    hashes = dict.fromkeys(
        (function.lower(), word.lower())
        for function, word in _arguments(node.sql or "")
        if word.lower() in inputs
    )
    for function, column in hashes:
        yield _warning(
            asset,
            "plain_hash",
            f"{node.name} computes {function} of {shown(column)}, which is classified: without a"
            " key, everybody finds a value by trying all of them",
            "pass the column on unchanged, and give it mask: {method: hash}, which has a key",
        )


def _arguments(sql: str) -> Iterator[tuple[str, str]]:
    """Yield each plain hash function with each word in its brackets."""
    from headrace.sql.parsing import tokenise

    tokens = tokenise(sql)
    for place, (name, bracket) in enumerate(itertools.pairwise(tokens)):
        if bracket.token_type is TokenType.L_PAREN and _PLAIN_HASH.fullmatch(name.text):
            for word in _inside(tokens[place + 1 :]):
                yield name.text, word


def _inside(tokens: Sequence[Token]) -> Iterator[str]:
    """Yield the words, without literals, up to the bracket that closes the first one."""
    depth = 0
    for token in tokens:
        if token.token_type is TokenType.STRING:
            continue
        depth += _BRACKETS.get(token.text, 0)
        if depth == 0:
            return
        yield token.text


def _warning(node: Source | Asset, code: str, message: str, hint: str) -> Problem:
    return Problem(
        code=code, message=message, hint=hint, place=node.place, level=ProblemLevel.WARNING
    )
