"""Detection of anomalies in a partition by comparison with earlier ones.

Pure: it takes metrics and returns anomalies.
"""

from headrace.checks.anomalies.evaluated_partition import EvaluatedPartition
from headrace.checks.anomalies.evaluation import evaluate_partition
from headrace.checks.anomalies.explanations import Peer
from headrace.checks.anomalies.history import MetricHistory
from headrace.checks.anomalies.row_anomalies import PublishedContent

__all__ = ["EvaluatedPartition", "MetricHistory", "Peer", "PublishedContent", "evaluate_partition"]
