"""A running Airflow: a source that reads its runs, and what pauses its DAGs."""
