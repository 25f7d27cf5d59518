"""The script NERV runs inside every frame of a page. What a page shows is read here; nothing is decided here."""

from drivers.agent.source import AGENT, EMIT, agent_source

__all__ = ("AGENT", "EMIT", "agent_source")
