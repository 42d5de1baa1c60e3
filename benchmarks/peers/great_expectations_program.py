"""Twenty expectations on a pandas frame, in Great Expectations: `FILE CHECKS_JSON RUNS BUDGET_S
MEMORY_GIB`.

Reading the file isn't counted. There are no more runs once the budget is spent; with more memory
than that it ends by an error instead of taking the machine's.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import great_expectations as gx
import pandas as pd


def expectation(check: dict[str, Any]) -> Any:
    """The one that says what the check says."""
    made, kind = gx.expectations, check["kind"]
    match kind:
        case "unique":
            return made.ExpectColumnValuesToBeUnique(column=check["columns"][0])
        case "not_null":
            return made.ExpectColumnValuesToNotBeNull(column=check["columns"][0])
        case "range":
            return made.ExpectColumnValuesToBeBetween(
                column=check["column"], min_value=check.get("min"), max_value=check.get("max")
            )
        case "accepted_values":
            return made.ExpectColumnValuesToBeInSet(
                column=check["column"], value_set=check["values"]
            )
        case "regex":
            return made.ExpectColumnValuesToMatchRegex(
                column=check["column"], regex=f"^(?:{check['pattern']})$"
            )
        case _:
            return made.ExpectTableRowCountToBeBetween(min_value=check["min"])


def main() -> None:
    """Validate, and print seconds."""
    limit = int(float(sys.argv[5]) * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    frame = pd.read_parquet(sys.argv[1])
    frame["amount"] = frame["amount"].astype(float)
    checks = json.loads(sys.argv[2])
    context = gx.get_context(mode="ephemeral")
    batch = (
        context.data_sources.add_pandas("pandas")
        .add_dataframe_asset("t")
        .add_batch_definition_whole_dataframe("all")
    )
    suite = context.suites.add(
        gx.ExpectationSuite(name="suite", expectations=[expectation(check) for check in checks])
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name="t", data=batch, suite=suite)
    )
    runs: list[float] = []
    while len(runs) < int(sys.argv[3]) and sum(runs) + max(runs, default=0.0) <= float(sys.argv[4]):
        started = time.perf_counter()
        result = definition.run(batch_parameters={"dataframe": frame}, result_format="BOOLEAN_ONLY")
        runs.append(time.perf_counter() - started)
        assert result.success, result
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"figures": {"audit": {"Great Expectations": runs}}, "peak_kib": peak}))


if __name__ == "__main__":
    main()
