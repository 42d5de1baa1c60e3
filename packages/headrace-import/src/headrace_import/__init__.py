"""`headrace import`: projects of dbt, Airflow, Azure Data Factory, Prefect and Dagster."""

from headrace.extension import CliCommand

IMPORT = CliCommand(
    name="import",
    group="start",
    summary="write a project from one of dbt, Airflow or Azure Data Factory, with a report",
    home="headrace_import.cli.project",
    permissions={
        "import diff": "read",
        "import move": "change",
        "import retire": "change",
        "import rollback": "change",
        "import shadow": "operate",
        "import status": "see",
    },
)
