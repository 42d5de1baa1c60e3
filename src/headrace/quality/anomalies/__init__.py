"""What is odd about a partition, told from those before it. Pure: figures in, facts out."""

from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.anomalies.judge import EvaluatedPartition, judge
from headrace.quality.anomalies.peers import Peer
from headrace.quality.anomalies.stale import PublishedContent

__all__ = ["EvaluatedPartition", "MetricHistory", "Peer", "PublishedContent", "judge"]
