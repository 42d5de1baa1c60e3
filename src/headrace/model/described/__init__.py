"""The fields of each kind of file in words and as JSON Schemas. Which fields there are is the readers' to say.

Enumerations and bounds are taken from the readers; a test compares what both accept and refuse.
"""

from headrace.model.described.sections import SECTIONS
from headrace.model.described.vocabulary import FieldDescription, Section

__all__ = ["SECTIONS", "FieldDescription", "Section"]
