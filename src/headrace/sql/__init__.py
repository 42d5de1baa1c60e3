"""SQL understanding without execution: inputs, columns with types and lineage, separability.

No I/O and no clock. The functions load sqlglot, so callers import each from its own module; only
values are exported here.
"""

from headrace.sql.values import UNKNOWN, Analysis, Edge, Reference, Resolved, Transformation

__all__ = ["UNKNOWN", "Analysis", "Edge", "Reference", "Resolved", "Transformation"]
