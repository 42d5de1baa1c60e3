"""Macros of a project that take the place of dbt's own, and where dbt looks for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import nodes

from headrace_import.importers.dbt.dialects import DIALECTS
from headrace_import.importers.dbt.package_macros import packages
from headrace_import.importers.dbt.project_files import listed, mapped
from headrace_import.importers.dbt.templates import TEST_PREFIX, NotStatic
from headrace_import.importers.dbt.values import Template

MATERIALIZATION_PREFIX = "materialization_"
_NAMING = ("generate_schema_name", "generate_database_name", "generate_alias_name")
_BUILT_IN_TESTS = ("unique", "not_null", "accepted_values", "relationships")
_PARENTS: Mapping[str, tuple[str, ...]] = {"redshift": ("postgres",), "databricks": ("spark",)}
_SEVERAL_ADAPTERS = ("", "tsql")
"""Dialects that don't say which adapter it is."""
TEXT_MACROS = frozenset(packages("")["dbt"])
_HELPERS = frozenset(("generate_series", "get_powers_of_two", "get_intervals_between", "date"))
"""Macros of dbt that its text macros call, beside those that are known."""
_STORING = re.compile(
    r"(get_)?(create|replace)_(or_replace_)?(\w+_)?(table|view)(_as)?(_sql)?"
    r"|get_(create|replace)_sql|get_select_subquery|(get_)?table_columns_and_constraints"
    r"|statement|run_hooks|should_full_refresh"
)
"""Macros of dbt by which it stores tables and views."""
_MERGING = re.compile(
    r"get_incremental_(append|default|delete_insert|merge|insert_overwrite|microbatch)_sql"
    r"|get_(delete_insert_merge|insert_overwrite_merge|merge|insert_into)_sql|get_merge_\w+"
    r"|strategy_dispatch|merge_\w+|incremental_\w+|process_schema_changes|sync_column_schemas"
    r"|unique_key_\w+|check_for_schema_changes"
)
"""Macros of dbt by which it adds rows to incremental models."""
_VERSIONING = re.compile(
    r"(build_|get_)?snapshot_\w+|get_dbt_valid_to_current|post_snapshot|unique_key_\w+"
)
"""Macros of dbt by which it writes the versions of snapshots."""


def base_name(macro: str) -> str:
    """Return the name of a macro without the prefix that `adapter.dispatch` looks for."""
    prefix, separator, name = macro.partition("__")
    return name if separator and (prefix == "default" or prefix in DIALECTS) else macro


def is_naming(macro: str) -> bool:
    """Return whether a macro decides the names of tables in the warehouse, as dbt's own do."""
    return base_name(macro) in _NAMING


def is_storing(macro: str) -> bool:
    """Return whether a macro decides how dbt stores rows."""
    name = base_name(macro)
    return macro.startswith(MATERIALIZATION_PREFIX) or any(
        pattern.fullmatch(name) for pattern in (_STORING, _MERGING, _VERSIONING)
    )


def replaces_text(macro: str) -> bool:
    """Return whether a macro takes the place of one of dbt that writes a part of a query."""
    name = base_name(macro)
    return name != macro and name in TEXT_MACROS | _HELPERS


def require_builtin(macros: Mapping[str, Template], materialized: str) -> None:
    """Raise NotStatic if the project has its own macros for a materialization of dbt."""
    patterns = [_STORING]
    if materialized == "incremental":
        patterns.append(_MERGING)
    if materialized == "snapshot":
        patterns.append(_VERSIONING)
    for macro in macros:
        stores = any(pattern.fullmatch(base_name(macro)) for pattern in patterns)
        if macro == f"{MATERIALIZATION_PREFIX}{materialized}" or stores:
            label = macro.replace("_", " ", 1) if MATERIALIZATION_PREFIX in macro else macro
            raise NotStatic(f"the project's own {label} decides how dbt stores it")


class Dispatch:
    """Where dbt looks for a macro: the project's comes before one of dbt or of a package."""

    def __init__(
        self,
        macros: Mapping[str, Template],
        project: str,
        settings: Mapping[str, Any],
        dialect: str,
    ) -> None:
        self._macros, self._project, self._dialect = macros, project, dialect
        self._orders = {
            str(mapped(entry).get("macro_namespace")): listed(mapped(entry).get("search_order"))
            for entry in listed(settings.get("dispatch"))
        }

    def find(self, name: str, namespace: str) -> Template | None:
        """Return the project's macro for `adapter.dispatch(name, namespace)`; None if it has none.

        Raise NotStatic if that depends on a package or on the adapter.
        """
        for package in self._orders.get(namespace) or (self._project, namespace):
            if package == self._project:
                macro = self._prefixed(name)
                if macro is not None:
                    return macro
            elif package == namespace:
                return None
            else:
                raise NotStatic(f"dbt looks for `{name[:60]}` in the package {package}")
        return None

    def _prefixed(self, name: str) -> Template | None:
        prefixes = (self._dialect, *_PARENTS.get(self._dialect, ()))
        if self._dialect in _SEVERAL_ADAPTERS:
            if any(f"{adapter}__{name}" in self._macros for adapter in DIALECTS):
                raise NotStatic(f"which `{name[:60]}` it is depends on the adapter of dbt")
            prefixes = ()
        candidates = (self._macros.get(f"{prefix}__{name}") for prefix in (*prefixes, "default"))
        return next((macro for macro in candidates if macro is not None), None)

    def require_helpers(self, name: str, names: Iterable[str]) -> None:
        """Raise NotStatic if the project replaces a macro that `name` may call: one of dbt
        that writes text, or one of its package, which has these `names`."""
        for macro in self._macros:
            base = base_name(macro)
            if base != name and (replaces_text(macro) or (base != macro and base in names)):
                raise NotStatic(f"the project's own {macro} may change `{name}`")


def use_dispatched_tests(macros: dict[str, Template], dispatch: Dispatch) -> None:
    """Let the project's `default__test_unique` be the test `unique`, as in dbt."""
    for name in _BUILT_IN_TESTS:
        test = f"{TEST_PREFIX}{name}"
        try:
            macro = dispatch.find(test, "dbt")
        except NotStatic:
            macro = _unknown_test(test)
        if macro is not None:
            macros.setdefault(test, macro)


def _unknown_test(name: str) -> Template:
    """Return a test that takes no arguments, so that no use of it can be a check."""
    return Template("", nodes.Macro(name, [], [], []), "")
