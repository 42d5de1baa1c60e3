"""The destinations that suffered most on a day, by the minutes that their passengers lost on
arrival."""

import pyarrow as pa
import pyarrow.compute as pc

from headrace import asset


@asset(
    owner="operations",
    domain="operations",
    partition={"by": "day", "column": "flight_date"},
    inputs=["flights_clean", "airports"],
    columns={
        "flight_date": "DATE",
        "rank": "INTEGER",
        "dest": "VARCHAR",
        "airport": "VARCHAR",
        "flights": "BIGINT",
        "cancelled": "BIGINT",
        "minutes_lost": "BIGINT",
    },
    checks=[{"unique": ["flight_date", "dest"]}, {"row_count": {"min": 20}}],
)
def airport_ranking(flights_clean: pa.Table, airports: pa.Table) -> pa.Table:
    """Destinations with their rank: 1 lost the most minutes. Those that the list of airports
    doesn't know keep their code.
    """
    lost = pc.max_element_wise(pc.fill_null(flights_clean["arr_delay"], 0), 0)
    flights = flights_clean.append_column("minutes_lost", lost)
    totals = flights.group_by(["flight_date", "dest"]).aggregate(
        [("minutes_lost", "sum"), ("cancelled", "sum"), ("flight_id", "count")]
    )
    ranked = totals.sort_by([("minutes_lost_sum", "descending"), ("dest", "ascending")])
    names = dict(zip(airports["faa"].to_pylist(), airports["name"].to_pylist(), strict=True))
    return pa.table(
        {
            "flight_date": ranked["flight_date"],
            "rank": pa.array(range(1, len(ranked) + 1), pa.int32()),
            "dest": ranked["dest"],
            "airport": pa.array(
                [names.get(code, code) for code in ranked["dest"].to_pylist()], pa.string()
            ),
            "flights": ranked["flight_id_count"],
            "cancelled": pc.cast(ranked["cancelled_sum"], pa.int64()),
            "minutes_lost": ranked["minutes_lost_sum"],
        }
    )
