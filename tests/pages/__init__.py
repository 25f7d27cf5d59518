"""Small chat pages, one per trap that real front ends set, and the server behind them; nothing of NERV's own pages."""

from tests.pages.server import TRAPS, TrapServer, trap_server

__all__ = ("TRAPS", "TrapServer", "trap_server")
