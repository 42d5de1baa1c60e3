"""Templates whose text depends on what only dbt knows: nothing of them is guessed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dbt_lab import imported

from headrace_import.importers import Verdict

RAW = "from {{ ref('raw_orders') }}"
WHERE = "where id > (select max(id) from {{ this }})"
INCREMENTAL = "{{ config(materialized='incremental') }} "
GUARD = "{% if is_incremental() %}" + WHERE + "{% endif %}"


@pytest.mark.parametrize(
    "text",
    [
        f"select id, '{{% if is_incremental() %}}b{{% else %}}a{{% endif %}}' as k {RAW} {GUARD}",
        f"select id, '{{{{ 'x' if is_incremental() else 'y' }}}}' as kind {RAW} {GUARD}",
        f"{{% set later = is_incremental() %}}select id, '{{{{ later }}}}' as kind {RAW} {GUARD}",
        f"select id {RAW} {GUARD} {{% if not is_incremental() %}} limit 1 {{% endif %}}",
        "{% set kind = 'initial' %}with a as (select id " + RAW + " {% if is_incremental() %}"
        "{% set kind = 'delta' %}" + WHERE + "{% endif %}) select id, '{{ kind }}' as kind from a",
        "{% set kinds = [] %}with a as (select id " + RAW + " {% if is_incremental() %}"
        "{% do kinds.append(1) %}" + WHERE + "{% endif %}) select id, {{ kinds | length }} from a",
    ],
)
def test_what_is_incremental_decides_beyond_one_condition_is_not_frozen(
    tmp_path: Path, text: str
) -> None:
    """Would catch: the value of the first run, in the rows of every later run."""
    found = imported(tmp_path, {"models/m.sql": INCREMENTAL + text})
    assert found.model("m").verdict is not Verdict.CARRIED


def test_a_guard_alone_is_carried(tmp_path: Path) -> None:
    """Would catch: incremental models that are refused because they have a guard at all."""
    found = imported(tmp_path, {"models/m.sql": f"{INCREMENTAL}select id {RAW} {GUARD}"})
    assert found.model("m").verdict is Verdict.CARRIED
    assert "not exists (select 1 from $self)" in found.body("assets/m.sql")


def test_a_model_that_dbt_rebuilds_each_time_is_not_merged(tmp_path: Path) -> None:
    """Would catch: old rows that stay, where `full_refresh: true` drops them in each run."""
    config = INCREMENTAL.replace(") ", ", full_refresh=true, unique_key='id') ")
    found = imported(tmp_path, {"models/m.sql": f"{config}select id {RAW} {GUARD}"})
    assert found.model("m").verdict is Verdict.CARRIED
    assert "merge" not in found.files["assets/m.sql"]
    assert found.body("assets/m.sql") == "select id from raw_orders"


CONTEXT_NAMES = re.findall(
    r"\w+",
    "adapter_macro api builtins column compiled_code context_macro_stack database dbt_metadata_envs"
    " dbt_version defer_relation diff_of_two_dicts doc env fromjson fromyaml graph"
    " invocation_args_dict invocation_id load_agate_table load_result local_md5 metric model"
    " modules post_hooks pre_hooks project_name render run_started_at schema selected_resources"
    " set_strict sql sql_now store_raw_result store_result submit_python_job thread_id toyaml"
    " try_or_compiler_error validation write zip_strict"
    " load_relation run_query statement dbt_duckdb lipsum cycler joiner",
)
"""Names in the context of dbt-core 1.10 whose values only dbt has, with some of its macros."""


@pytest.mark.parametrize("name", CONTEXT_NAMES)
@pytest.mark.parametrize(
    "text",
    [
        "{%% if %s %%} where id = 1 {%% endif %%}",
        "{%% if not %s is defined %%} limit 1 {%% endif %%}",
        "{%% if %s is undefined or false %%} limit 1 {%% endif %%}",
        "{{ 'where id = 1' if %s else '' }}",
        "limit {{ %s | default(1) }}",
    ],
)
def test_a_name_of_dbt_that_is_not_known_here_is_not_false(
    tmp_path: Path, name: str, text: str
) -> None:
    """Would catch: a filter that goes because a name of dbt counts as undefined."""
    found = imported(tmp_path, {"models/m.sql": f"select * {RAW} {text % name}"})
    assert found.model("m").verdict is Verdict.COMMAND
    assert f"`{name}`" in found.model("m").why


def test_what_a_template_leaves_undefined_is_known(tmp_path: Path) -> None:
    """Would catch: an argument without a value, or a missing key, that stops a template."""
    macro = "{% macro rows(limit) %}{% if limit %}limit {{ limit }}{% endif %}{% endmacro %}"
    text = f"{{% set o = {{}} %}}select * {RAW} {{{{ rows() }}}} {{{{ o.x | default('') }}}}"
    found = imported(tmp_path, {"macros/m.sql": macro, "models/m.sql": text})
    assert found.model("m").verdict is Verdict.CARRIED
