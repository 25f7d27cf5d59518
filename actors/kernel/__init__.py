"""The kernel actor: decides which task goes to which driver, and what follows from each attempt."""

from actors.kernel.actor import KernelActor
from actors.kernel.settings import KernelSettings

__all__ = ("KernelActor", "KernelSettings")
