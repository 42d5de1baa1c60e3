"""A sensor that waits for a partition that Headrace publishes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace_airflow.hook import CONNECTION, HeadraceHook

try:
    from airflow.sdk import BaseSensorOperator
except ImportError:  # Airflow 2
    from airflow.sensors.base import BaseSensorOperator


class HeadracePartitionSensor(BaseSensorOperator):
    """Succeeds once readers see a partition of an asset, and it isn't stale.

    `partition` is a key as Headrace writes it, for example `{{ ds }}` for a day; `*` is the only
    one of an asset without partitions.
    """

    template_fields: Sequence[str] = ("asset", "partition")

    def __init__(
        self,
        *,
        asset: str,
        partition: str = "*",
        headrace_conn_id: str = CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.asset, self.partition = asset, partition
        self.headrace_conn_id = headrace_conn_id

    def poke(self, context: Any) -> bool:
        """Return whether the partition is there."""
        del context
        row = HeadraceHook(self.headrace_conn_id).partition(self.asset, self.partition)
        state = "unknown" if row is None else row["state"]
        self.log.info("%s@%s is %s", self.asset, self.partition, state)
        return row is not None and bool(row["seen"]) and not row["stale"]
