"""A chat page nobody has seen: find its input, send control and reply area, and prove them by one exchange."""

from drivers.discovery.discover import discover

__all__ = ("discover",)
