"""SQL understanding without execution: inputs, columns with types and lineage, separability.

No IO and no clock. The functions load sqlglot, so each is imported from its own module; only values are exported here.
"""

from headrace.sql.values import UNKNOWN, Analysis, Edge, Reference, Resolved, Transformation

__all__ = ["UNKNOWN", "Analysis", "Edge", "Reference", "Resolved", "Transformation"]
