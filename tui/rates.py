"""The rate of a counter over a window of time."""

from __future__ import annotations

from collections import deque

MAX_SAMPLES = 240


class Rate:
    """Per-second rate of a growing counter over the last ``window`` seconds. A counter that falls starts anew."""

    def __init__(self, *, window: float) -> None:
        self.window = window
        self.history: deque[float] = deque(maxlen=60)
        """Rates between neighbouring samples, oldest first, for a sparkline."""
        self._samples: deque[tuple[float, float]] = deque(maxlen=MAX_SAMPLES)

    def add(self, total: float, now: float) -> None:
        if self._samples:
            before, value = self._samples[-1]
            if total < value or now < before:
                self._samples.clear()
            elif now - before < 0.05:
                self._samples[-1] = (before, total)
                return
            else:
                self.history.append((total - value) / (now - before))
        self._samples.append((now, total))
        while len(self._samples) > 2 and now - self._samples[1][0] >= self.window:
            self._samples.popleft()

    def per_second(self, now: float) -> float | None:
        """None until there are two samples, or when the last one is older than the window."""
        if len(self._samples) < 2 or now - self._samples[-1][0] > self.window + 5.0:
            return None
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_at - first_at)
