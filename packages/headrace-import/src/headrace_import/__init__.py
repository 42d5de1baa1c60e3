"""Projects of dbt, Airflow, Azure Data Factory, Prefect and Dagster, as Headrace projects."""
