"""What somebody agreed to: a word for a plan, the same as long as the same would be done.

Who is shown a plan by one process and agrees by another says which one it was; where something else would be done by then, nothing is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec

from headrace.model import Refused
from headrace.operations.backfill_documents import BackfillDocument
from headrace.operations.contract_documents import AcceptDocument
from headrace.operations.fix_documents import FixDocument

Planned = FixDocument | BackfillDocument | AcceptDocument
CHARACTERS = 32


def word_for(document: Planned) -> str:
    """The word. How long it takes, and when it was asked, are no part of what is done."""
    return hashlib.sha256(msgspec.json.encode(_essence(document))).hexdigest()[:CHARACTERS]


def _essence(document: Planned) -> list[object]:
    match document:
        case FixDocument():
            acts = [(step.act, step.what) for step in document.steps]
            return [document.id, acts, document.mappings, document.file, document.backfill and _essence(document.backfill)]
        case BackfillDocument():
            return [document.mode, document.assets, document.skipped, document.publishes]
        case AcceptDocument():
            return [document.source, document.partition, document.file, document.diff]


def agrees(agreed: str | None) -> Callable[[Planned], bool]:
    """Answers whether a plan is the one that was agreed to (None: to whatever it is). Refused where it is another."""

    def answer(document: Planned) -> bool:
        if agreed is not None and agreed != word_for(document):
            raise Refused("something else would be done by now than what was agreed to", hint="look at the plan again, and agree to that")
        return True

    return answer
