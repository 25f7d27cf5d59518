"""`nerv top`: the operator's live view of a cluster. An outside process like any other: it may know the bus's
client and the kernel's vocabulary, never an actor, a driver or a database. Textual is imported by `tui.app` only."""

from __future__ import annotations

from tui.formats import clean
from tui.link import BusClient, Connect, Feed
from tui.model import ClusterModel, LinkState

__all__ = ("BusClient", "ClusterModel", "Connect", "Feed", "LinkState", "clean")
