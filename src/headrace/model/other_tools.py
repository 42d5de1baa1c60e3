"""Words of dbt, Airflow, Dagster and SQLMesh → what to write here: hints for people who come from there."""

from __future__ import annotations

_SCHEDULE = "leave it out: an asset runs when its inputs are there and a consumer needs it; or write trigger: {cron: '0 6 * * *'}"

FIELDS = {
    "tests": "write checks: [{unique: [id]}, {not_null: [id]}]",
    "data_tests": "write checks: [{unique: [id]}, {not_null: [id]}]",
    "audits": "write checks: [{unique: [id]}, {not_null: [id]}]",
    "models": "this is dbt's: each asset has a file of its own, and its checks stand in its front matter",
    "config": "its fields stand here directly: materialize: …, tags: […]",
    "unique_key": "write materialize: merge and merge: {keys: [id]}",
    "incremental_strategy": "write partition: day, which replaces each day's rows; or materialize: merge",
    "materialized": "write materialize: table, view, merge, snapshot or append",
    "schedule": _SCHEDULE,
    "schedule_interval": _SCHEDULE,
    "cron": "write trigger: {cron: '0 6 * * *'}",
    "retries": "write attempts_max: 3",
    "retry_policy": "write attempts_max: 3",
    "retry_delay": "leave it out: delays between attempts grow by themselves; attempts_max says how many there are",
    "execution_timeout": "write timeout: 1h",
    "start_date": "write start: 2025-01-01",
    "partitions_def": "write partition: day",
    "partition_by": "write partition: {by: day, column: order_date}",
    "partitioned_by": "write partition: {by: day, column: order_date}",
    "time_column": "write partition: {by: day, column: order_date}",
    "catchup": "write trigger: {cron: …, catch_up: latest}; without it all missed partitions are computed",
    "depends_on": "write depends: [name]; what the SQL reads needs no mention",
    "deps": "write depends: [name]; what the SQL reads needs no mention",
    "ins": "write inputs: [name]",
    "email": "write owner: with a name from owners.yaml, whose contact is mailto:…",
    "email_on_failure": "write owner: with a name from owners.yaml, whose contact is mailto:…",
    "sla": "write due: \"07:00\" at a consumer in consumers.yaml",
    "freshness_policy": "write max_age: 30h at a consumer in consumers.yaml",
    "group": "write domain: …, or tags: […]",
    "group_name": "write domain: …, or tags: […]",
    "io_manager_key": "leave it out: what an asset returns is published in the lake",
    "enabled": "leave it out; `headrace pause NAME --reason TEXT` stops it",
    "alias": "write name: …",
    "meta": "write tags: […] or description: …",
}  # fmt: skip
"""Fields of assets and sources that another tool has and that aren't fields here."""

VALUES = {
    ("materialize", "incremental"): "write partition: day with materialize: table (each day's rows are replaced), or merge or append",
    ("materialize", "ephemeral"): "write view",
    ("materialize", "materialized_view"): "write table, or view",
    ("materialize", "full"): "write table",
    ("materialize", "incremental_by_time_range"): "write partition: {by: day, column: …} with materialize: table",
    ("materialize", "incremental_by_unique_key"): "write merge, with merge: {keys: [id]}",
    ("materialize", "scd_type_2"): "write snapshot",
    ("partition", "daily"): "write day",
    ("partition", "hourly"): "write hour",
    ("partition", "weekly"): "write week",
    ("partition", "monthly"): "write month",
    ("partition", "yearly"): "write year",
}
"""Values of such fields."""

CHECKS = {
    "relationships": "write references: {column: customer_id, to: customers.id}",
    "accepted_range": "write range: {column: amount, min: 0, max: 100}",
    "expression_is_true": 'write sql: {name: amount_is_positive, query: "select * from $self where not (amount >= 0)"}',
    "expect_column_values_to_not_be_null": "write not_null: [id]",
    "expect_column_values_to_be_unique": "write unique: [id]",
    "expect_column_values_to_be_between": "write range: {column: amount, min: 0, max: 100}",
    "expect_column_values_to_be_in_set": "write accepted_values: {column: kind, values: [a, b]}",
    "expect_column_values_to_match_regex": "write regex: {column: code, pattern: '[A-Z]{3}'}",
    "expect_table_row_count_to_be_between": "write row_count: {min: 1, max: 1000}",
    "unique_combination_of_columns": "write unique: [order_id, line]",
    "not_empty": "write row_count: {min: 1}",
    "not_empty_string": "write regex: {column: code, pattern: '.+'}",
    "recency": "write freshness: {column: loaded_at, max_age: 2d}",
    "primary_key": "write unique: [id] and not_null: [id]",
}
"""Checks of dbt, its packages and Great Expectations."""

CRON = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip
"""Nicknames of cron."""

_CONVERT = "convert it to Parquet or CSV"
_READ = "read it in a Python asset or a command, which gives a table"
_PACK = "unpack it, or pack it as .gz or .zip"
FILES = {
    **dict.fromkeys(("avro", "orc", "feather", "arrow", "h5", "hdf5", "pkl", "pickle"), _CONVERT),
    **dict.fromkeys(("sas7bdat", "xpt", "dta", "sav", "dbf", "mdb", "accdb"), _CONVERT),
    **dict.fromkeys(("pdf", "docx", "html"), _READ),
    **dict.fromkeys(("7z", "rar", "tar", "tgz"), _PACK),
}
"""Endings of files that no reader has, and what to do instead."""
