"""Numbers that actors report of themselves, kept as last told, shown when asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_NAME = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)(?:\{(.*)\})?")
MAX_SERIES = 5_000
"""More series than this are dropped (and counted): a label that never repeats would fill the memory."""

Series = tuple[str, tuple[tuple[str, str], ...]]


def parse_gauge(name: str) -> Series | None:
    """``tasks{state=DONE}`` → its name and labels; None where it is no name for a metric."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    labels = []
    for part in (match.group(2) or "").split(","):
        if part:
            key, equals, value = part.partition("=")
            if not equals or not key.isidentifier():
                return None
            labels.append((key, value))
    return match.group(1), tuple(labels)


class ActorGauges(Collector):
    """Last told values by actor. Written by one thread, collected by others: each table is replaced whole."""

    def __init__(self) -> None:
        self._by_actor: dict[str, dict[Series, float]] = {}
        self._dropped = 0

    def put(self, actor: str, source: str, values: Mapping[str, float]) -> None:
        """Replace what ``source`` told of ``actor``."""
        table: dict[Series, float] = {}
        for name, value in values.items():
            series = parse_gauge(name)
            if series is None or len(table) >= MAX_SERIES:
                self._dropped += 1
            else:
                table[series] = value
        self._by_actor = {**self._by_actor, f"{actor}\0{source}": table}

    def forget(self, actors: Iterable[str]) -> None:
        """Actors that are no more: their series end."""
        gone = set(actors)
        self._by_actor = {
            key: table for key, table in self._by_actor.items() if key.partition("\0")[0] not in gone
        }

    def collect(self) -> Iterator[Metric]:
        families: dict[tuple[str, tuple[str, ...]], Metric] = {}
        for key, table in list(self._by_actor.items()):
            actor = key.partition("\0")[0]
            for (name, labels), value in table.items():
                names = ("actor", *(label for label, _ in labels))
                family = families.get((name, names))
                if family is None:
                    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                    family = kind(f"nerv_{name}", "As the actor last told", labels=names)
                    families[(name, names)] = family
                family.add_metric([actor, *(text for _, text in labels)], value)  # type: ignore[attr-defined]
        dropped = CounterMetricFamily(
            "nerv_series_dropped_total", "Numbers that had no usable name or no room"
        )
        dropped.add_metric([], self._dropped)
        yield dropped
        yield from families.values()
