"""Run queries in Spark, in an environment of its own: reads JSON (`ansi`, `tables`, `queries`),
writes Spark's version and a list of rows, None where a query stops, pickled. Arguments: both files.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any


def main(asked_file: str, answers_file: str) -> None:
    """Run the queries of a file."""
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    asked = json.loads(Path(asked_file).read_text(encoding="utf-8"))
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.ansi.enabled", str(asked["ansi"]).lower())
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("OFF")
    for name, query in asked["tables"].items():
        spark.sql(query).cache().createOrReplaceTempView(name)
    answers: list[Any] = []
    for query in asked["queries"]:
        try:
            answers.append([tuple(row) for row in spark.sql(query).collect()])
        except PySparkException:
            answers.append(None)
    Path(answers_file).write_bytes(pickle.dumps((spark.version, answers)))


if __name__ == "__main__":
    main(*sys.argv[1:])
