"""Evidence of files of the lake that aren't there as they were published."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.observe.damaged import DamagedFile, damaged_files, partitions_in
from headrace.observe.declared_promises import WHOLE
from headrace.observe.diagnosis.causes import CauseKind
from headrace.observe.diagnosis.evidence import Evidence, Family
from headrace.observe.obligations import EvaluationContext
from headrace.store.database import Transaction
from headrace.store.queries import publications

KIND = "lake"
EXACT_NATS = 12.0
FILES_MAX = 500
"""Of so many damaged files of a node, at most, there is evidence at a time: the next follow as
these are repaired."""


def gather(tx: Transaction, context: EvaluationContext) -> Iterator[tuple[Evidence, str | None]]:
    """What is wrong with files that readers see now: evidence for each partition in them, and the attempt that published it."""
    files = [file for file in damaged_files(tx) if file.node in context.declared.nodes]
    for name in dict.fromkeys(file.node for file in files):
        own = {file.id: file for file in [damaged_file for damaged_file in files if damaged_file.node == name][:FILES_MAX]}
        for number, held in sorted(partitions_in(tx, name, own.keys()).items()):
            for key in sorted(held) or [WHOLE]:
                publication = publications.current(tx, name, key)
                attempt = None if publication is None else f"{publication.epoch}.{publication.n}"
                yield _evidence(own[number], key), attempt


def _evidence(file: DamagedFile, key: str) -> Evidence:
    expected = file.given_up or f"{file.path}, {file.size_bytes:,} bytes"
    return Evidence(
        # what is left of lost rows gets another file id with each partition that is repaired
        id=f"{KIND}:{file.given_up or file.id}@{key}",
        node=file.node,
        partition="" if key == WHOLE else key,
        family=Family.FILE,
        kind=CauseKind.DATA_CORRUPTED.value,
        expected=expected,
        observed=file.wrong,
        strength=EXACT_NATS,
        at_us=file.since,
    )
