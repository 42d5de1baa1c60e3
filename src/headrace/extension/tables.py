"""What connections of other packages use to write exports into tables."""

from headrace.connect.exports.fence import WriterFenced, lock_epoch
from headrace.connect.exports.registry import (
    Assignment,
    ExportFailed,
    Portion,
    Surroundings,
    Written,
    unavailable,
)
from headrace.connect.exports.values import as_double, as_text, is_nested
from headrace.faults import FaultPoint, reached
from headrace.lake import LakeColumn
from headrace.model.errors import words_of
from headrace.model.exports import ASSET_PLACEHOLDER
from headrace.store.engines.sqlite import APPLICATION_ID

__all__ = [
    "APPLICATION_ID",
    "ASSET_PLACEHOLDER",
    "Assignment",
    "ExportFailed",
    "FaultPoint",
    "LakeColumn",
    "Portion",
    "Surroundings",
    "WriterFenced",
    "Written",
    "as_double",
    "as_text",
    "is_nested",
    "lock_epoch",
    "reached",
    "unavailable",
    "words_of",
]
