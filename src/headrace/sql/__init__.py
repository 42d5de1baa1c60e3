"""What SQL bodies mean, without running them: inputs, columns and their types, lineage, which bodies are separable.

Knows no IO and no clock. The functions live in `analyse`, `resolve`, `separable`, `partition` and load sqlglot;
only their values are exported here.
"""

from headrace.sql.values import UNKNOWN, Analysis, Edge, Reference, Resolved, Transformation

__all__ = ["UNKNOWN", "Analysis", "Edge", "Reference", "Resolved", "Transformation"]
