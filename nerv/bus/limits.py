"""Every bound of the bus in one place. What happens at each bound is said beside it."""

from __future__ import annotations

import msgspec

from nerv.errors import ConfigurationError, ErrorCode, ErrorInfo, invalid

MIB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times are in seconds, sizes in bytes. The broker tells its peers the ones they need in WELCOME."""

    message_bytes: int = 8 * MIB
    """Largest payload of one envelope; a larger one is refused by its sender with ``too_large``."""
    bundle_bytes: int = 1 * MIB
    """A bundle is closed at this size (one larger envelope travels alone)."""
    bundle_envelopes: int = 256
    """A bundle is closed at this many envelopes; one of more than ``bundle_most`` is refused."""
    queue_envelopes: int = 4096
    """Commands that wait for one target at the broker; beyond, their sender gets NACK ``busy``."""
    queue_bytes: int = 32 * MIB
    """The same bound in bytes."""
    backlog_messages: int = 4096
    """Messages that one peer's socket did not take; beyond, answers to it are dropped and counted."""
    backlog_bytes: int = 32 * MIB
    targets: int = 4096
    """Names the broker remembers; beyond, commands to further unknown names are undeliverable at once."""
    dead_letters: int = 1000
    """Oldest are dropped and counted."""
    dead_letter_bytes: int = 8 * MIB
    pending: int = 65536
    """Requests of one peer without outcome; beyond, `request` raises ``busy`` at once."""
    dedup_answers: int = 4096
    """A receiver remembers at least so many of its last answers (at most twice as many), to repeat them."""
    dedup_bytes: int = 4 * MIB
    """The same bound in bytes."""
    hold_known: float = 10.0
    """How long commands wait for a target that was here before (it restarts)."""
    hold_unknown: float = 2.0
    """How long they wait for a name never seen (it starts)."""
    tick: float = 1.0
    """Signs of life on each link, both ways."""
    silent_ticks: int = 5
    """Silence of so many ticks: the other side counts as down."""
    resend: float = 0.5
    """Silence after which an unacknowledged command is sent again; doubles up to ``resend_max``."""
    resend_max: float = 5.0
    probe: float = 2.0
    """After ACK, how often the command is sent again to learn what became of it; doubles to ``probe_max``."""
    probe_max: float = 10.0
    ack_delay: float = 0.02
    """How long an ACK waits for a REPLY that makes it needless, or for other ACKs."""
    busy_retry: float = 0.1
    """``retry_after`` of a NACK busy."""

    @property
    def bundle_most(self) -> int:
        """Envelopes in one bundle of others, who may count otherwise."""
        return 4 * self.bundle_envelopes

    def check(self) -> Limits:
        """Itself, if every bound is positive; raises :class:`ConfigurationError` naming the field."""
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if not value > 0:
                raise ConfigurationError(
                    invalid(
                        f"{value!r} is not above zero", field=f"limits.{field}", fix="give a positive number"
                    )
                )
        return self


DEFAULT_LIMITS = Limits()


def too_large(type_name: str, size: int, limits: Limits) -> ErrorInfo:
    """The error for a payload of more than ``limits.message_bytes``."""
    return ErrorInfo(
        code=ErrorCode.TOO_LARGE,
        reason=f"the payload of {type_name!r} has {size} bytes, the limit is {limits.message_bytes}",
        field="payload",
        fix="send a reference to the data, or raise limits.message_bytes",
    )
