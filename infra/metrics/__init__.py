"""Metrics for Prometheus: what is counted, and the loopback page that shows it. No bus may come in."""

from infra.metrics.exposition import Exposition, PortTaken
from infra.metrics.gauges import ActorGauges, parse_gauge
from infra.metrics.tasks import TaskMetrics

__all__ = ("ActorGauges", "Exposition", "PortTaken", "TaskMetrics", "parse_gauge")
