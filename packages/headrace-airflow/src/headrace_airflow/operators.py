"""An operator that runs what Headrace computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace_airflow.hook import CONNECTION, HeadraceError, HeadraceHook

try:
    from airflow.sdk import BaseOperator
except ImportError:  # Airflow 2
    from airflow.models.baseoperator import BaseOperator

SUCCEEDED = ("succeeded", "nothing_due")


class HeadraceRunOperator(BaseOperator):
    """Runs a partition of an asset, and waits until the run has ended.

    A partition that is published and fresh isn't computed again. Raise HeadraceError if the run
    doesn't succeed.
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

    def execute(self, context: Any) -> str:
        """Run it, and return the state of the run."""
        del context
        reason = f"Airflow: {self.dag_id}.{self.task_id}"
        done = HeadraceHook(self.headrace_conn_id).run(self.asset, self.partition, reason)
        state = str(done.get("state"))
        self.log.info("the run of %s@%s is %s", self.asset, self.partition, state)
        if state not in SUCCEEDED:
            raise HeadraceError(f"the run of {self.asset}@{self.partition} is {state}")
        return state
