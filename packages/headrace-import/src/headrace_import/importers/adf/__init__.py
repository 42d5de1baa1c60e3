"""Azure Data Factory and Synapse: pipelines, triggers and data flows, read from files.

Expressions are evaluated as far as the files determine them; nothing runs in Azure.
"""

from headrace_import.importers.adf.project import read_project

__all__ = ["read_project"]
