"""What Airflow's operators and sensors are, by the last part of their names."""

from __future__ import annotations

import re
from collections.abc import Mapping

ORDER_ONLY = frozenset(("EmptyOperator", "DummyOperator", "ExternalTaskMarker"))

BRANCHES = frozenset(
    ("BranchPythonOperator", "BranchPythonVirtualenvOperator", "BranchExternalPythonOperator",
     "BranchSQLOperator", "BranchSqlOperator", "BranchDateTimeOperator",
     "BranchDayOfWeekOperator", "BaseBranchOperator")
)  # fmt: skip
SHORT_CIRCUITS = frozenset(("ShortCircuitOperator", "LatestOnlyOperator"))

SQL_OPERATORS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "SQLExecuteQueryOperator": ("", ("sql",)),
    "PostgresOperator": ("postgres", ("sql",)),
    "MySqlOperator": ("mysql", ("sql",)),
    "SqliteOperator": ("sqlite", ("sql",)),
    "MsSqlOperator": ("tsql", ("sql",)),
    "OracleOperator": ("oracle", ("sql",)),
    "JdbcOperator": ("", ("sql",)),
    "SnowflakeOperator": ("snowflake", ("sql",)),
    "SnowflakeSqlApiOperator": ("snowflake", ("sql",)),
    "BigQueryOperator": ("bigquery", ("sql", "bql")),
    "BigQueryExecuteQueryOperator": ("bigquery", ("sql",)),
    "BigQueryInsertJobOperator": ("bigquery", ("configuration",)),
    "RedshiftSQLOperator": ("redshift", ("sql",)),
    "RedshiftDataOperator": ("redshift", ("sql",)),
    "TrinoOperator": ("trino", ("sql",)),
    "PrestoOperator": ("presto", ("sql",)),
    "HiveOperator": ("hive", ("hql",)),
    "AthenaOperator": ("athena", ("query",)),
    "AWSAthenaOperator": ("athena", ("query",)),
    "SparkSqlOperator": ("spark", ("sql",)),
    "DatabricksSqlOperator": ("databricks", ("sql",)),
    "DuckDBOperator": ("duckdb", ("sql",)),
    "ClickHouseOperator": ("clickhouse", ("sql",)),
    "VerticaOperator": ("", ("sql",)),
    "ExasolOperator": ("exasol", ("sql",)),
    "TeradataOperator": ("teradata", ("sql",)),
    "DrillOperator": ("drill", ("sql",)),
    "SQLExecuteQueryOperatorAsync": ("", ("sql",)),
    "BigQueryInsertJobOperatorAsync": ("bigquery", ("configuration",)),
    "SnowflakeOperatorAsync": ("snowflake", ("sql",)),
}
SQL_CHECKS = frozenset(
    ("SQLCheckOperator", "SQLValueCheckOperator", "SQLIntervalCheckOperator", "CheckOperator",
     "SQLThresholdCheckOperator", "SQLColumnCheckOperator", "SQLTableCheckOperator",
     "BigQueryCheckOperator", "BigQueryValueCheckOperator", "BigQueryIntervalCheckOperator",
     "BigQueryColumnCheckOperator", "BigQueryTableCheckOperator", "ValueCheckOperator",
     "SnowflakeCheckOperator", "SnowflakeValueCheckOperator", "IntervalCheckOperator")
)  # fmt: skip

_WORDS = {
    "postgres": "postgres", "pg": "postgres", "psql": "postgres", "mysql": "mysql",
    "maria": "mysql", "snowflake": "snowflake", "bigquery": "bigquery", "bq": "bigquery",
    "gcp": "bigquery", "google": "bigquery", "redshift": "redshift", "trino": "trino",
    "presto": "presto", "mssql": "tsql", "sqlserver": "tsql", "sqlite": "sqlite",
    "duckdb": "duckdb", "hive": "hive", "databricks": "databricks", "athena": "athena",
    "clickhouse": "clickhouse", "oracle": "oracle", "spark": "spark",
}  # fmt: skip

CONNECTION_ARGUMENTS = (
    "conn_id", "postgres_conn_id", "mysql_conn_id", "snowflake_conn_id", "gcp_conn_id",
    "bigquery_conn_id", "redshift_conn_id", "trino_conn_id", "presto_conn_id", "mssql_conn_id",
    "sqlite_conn_id", "hive_cli_conn_id", "aws_conn_id", "duckdb_conn_id", "oracle_conn_id",
    "databricks_conn_id", "jdbc_conn_id", "clickhouse_conn_id", "sql_conn_id",
)  # fmt: skip

CONNECTION_URLS: Mapping[str, str] = {
    "postgres": "postgresql",
    "redshift": "postgresql",
    "mysql": "mysql",
    "sqlite": "sqlite",
}
"""Schemes of the databases that Headrace reads itself, by dialect."""

CALLBACKS = (
    "on_failure_callback", "on_success_callback", "on_retry_callback", "on_execute_callback",
    "on_skipped_callback", "sla_miss_callback",
)  # fmt: skip


def dialect_of(connection: str) -> str:
    """Return the SQL dialect that a connection's name says; empty if it says none."""
    for part in re.split(r"[^a-z]+", connection.lower()):
        for word, dialect in _WORDS.items():
            if part == word or (len(word) > 3 and part.startswith(word)):
                return dialect
    return ""


def is_sensor(name: str) -> bool:
    """Whether an operator waits for something."""
    return name.endswith(("Sensor", "SensorAsync"))
