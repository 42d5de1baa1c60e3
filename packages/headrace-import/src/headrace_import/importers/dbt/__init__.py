"""The importer of dbt projects: reads models, seeds, sources, snapshots, tests and exposures.

Jinja is read by a static evaluator over jinja2's syntax tree; nothing of the project is run, and
what isn't known without running dbt becomes a command of dbt, or an item for a person.
"""

from headrace_import.importers.dbt.reading import read_project

__all__ = ["read_project"]
