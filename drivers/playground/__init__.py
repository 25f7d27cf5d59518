"""A small chat site of NERV's own, for demos, tests and benchmarks. It knows nothing of the driver."""

from drivers.playground.conversations import Stats
from drivers.playground.launch import Playground, PlaygroundFailed, launch
from drivers.playground.reply import reply_for
from drivers.playground.script import Pace

__all__ = ("Pace", "Playground", "PlaygroundFailed", "Stats", "launch", "reply_for")
