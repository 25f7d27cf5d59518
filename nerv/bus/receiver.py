"""The receiving half of a peer: each command is taken once, acknowledged, and answered once. No I/O."""

from __future__ import annotations

import msgspec

from nerv.bus.credit import Grant
from nerv.bus.envelope import Envelope, EnvelopeId, Kind, PeerName, answer_to
from nerv.bus.limits import Limits, too_large
from nerv.bus.link import WITHDRAWN, Acks, Credit
from nerv.bus.outbox import Outbox
from nerv.bus.peer_link import PeerLink
from nerv.bus.window import DedupWindow
from nerv.errors import ErrorCode, ErrorInfo

_REPLY, _ERROR, _NACK = Kind.REPLY, Kind.ERROR, Kind.NACK  # reading a member off an enumeration costs 0.1 µs
_encode = msgspec.msgpack.Encoder().encode


class Receiver:
    """Commands in hand are bounded by the window of credit that it grants."""

    def __init__(self, link: PeerLink, outbox: Outbox, *, window: int, limits: Limits) -> None:
        self._link = link
        self._outbox = outbox
        self.grant = Grant(window)
        self.window = DedupWindow(max_answers=limits.dedup_answers, max_bytes=limits.dedup_bytes)
        self.slow_types: set[str] = set()
        """Types whose ACK is their REPLY: accepted means done (registered with ``ack="on_reply"``)."""
        self.draining = False
        self.acks_due: float | None = None
        """When what is still in work has to be acknowledged."""
        self._acked: set[EnvelopeId] = set()
        self._deliveries: list[Envelope] = []
        self.handled = self.duplicates = self.expired = self.refused = 0

    # -- the link ---------------------------------------------------------------------------------------------

    def restart(self) -> int:
        """A new link: the credit for HELLO. What is in work has to be acknowledged anew."""
        self.forget_acks()
        return 0 if self.draining else self.grant.restart()

    def forget_acks(self) -> None:
        self._acked.clear()
        self.acks_due = None

    def drain(self, now: float) -> None:
        """Withdraw credit: take no further commands (they wait for a next life), finish those in hand."""
        self.draining = True
        if self._link.up:
            self._link.send(Kind.CREDIT, "link.credit", Credit(limit=WITHDRAWN), now)

    @property
    def granted(self) -> int:
        return 0 if self.draining else self.grant.granted

    # -- commands ---------------------------------------------------------------------------------------------

    def on_command(self, command: Envelope, now: float) -> None:
        grant = self.grant
        grant.received += 1
        window = self.window
        if command.id in window.running:
            grant.returned += 1
            self.duplicates += 1
            self._acked.discard(command.id)
            self.acks_due = now
            return
        answer = window.answer_to(command.id)
        if answer is not None:
            grant.returned += 1
            self.duplicates += 1
            self._send(answer)
            return
        link = self._link
        if command.deadline and command.deadline <= now + link.epoch:
            grant.returned += 1
            self.expired += 1
            return
        if self.draining or not link.up:
            grant.returned += 1
            stopping = ErrorInfo(
                code=ErrorCode.STOPPING,
                reason=f"{link.name!r} is stopping",
                retry_after=link.limits.busy_retry,
            )
            self.put_back(command, stopping, now)
            return
        window.begin(command)
        if self.acks_due is None:
            self.acks_due = now + link.limits.ack_delay
        self._deliveries.append(command)

    def take_deliveries(self) -> list[Envelope]:
        """Commands to handle; each must be answered once, by `reply`, `fail` or `put_back`."""
        if not self._deliveries:
            return self._deliveries
        taken, self._deliveries = self._deliveries, []
        return taken

    # -- answers ----------------------------------------------------------------------------------------------

    def reply(self, command: Envelope, type_name: str, payload: msgspec.Raw, now: float) -> None:
        """The command is done. An answer that is too large becomes an ERROR."""
        limits = self._link.limits
        if len(payload) > limits.message_bytes:
            self.fail(command, too_large(type_name, len(payload), limits), now)
            return
        self._finish(self._answer(command, _REPLY, type_name, payload, now))

    def fail(self, command: Envelope, error: ErrorInfo, now: float) -> None:
        """The command is done: refused or failed."""
        self._finish(self._answer(command, _ERROR, "error", msgspec.Raw(_encode(error)), now))

    def put_back(self, command: Envelope, error: ErrorInfo, now: float) -> None:
        """NACK: not accepted, nothing done; the sender tries again after ``error.retry_after``."""
        if self.window.abandon(command.id) is not None:
            self.grant.returned += 1
        self._acked.discard(command.id)
        self.refused += 1
        self._send(self._answer(command, _NACK, "nack", msgspec.Raw(_encode(error)), now))

    def _answer(
        self, command: Envelope, kind: Kind, type_name: str, payload: msgspec.Raw, now: float
    ) -> Envelope:
        link = self._link
        return answer_to(
            command,
            kind,
            type_name,
            payload,
            link.ids.next(),
            link.name,
            now + link.epoch,
        )

    def _finish(self, answer: Envelope) -> None:
        window = self.window
        if window.finish(answer):
            self.handled += 1
            self.grant.returned += 1
            if not window.running:
                self.acks_due = None
            if self._acked:
                self._acked.discard(EnvelopeId(answer.causation))
            if self._link.up:
                self._outbox.put_answer(answer)

    def _send(self, answer: Envelope) -> None:
        if self._link.up:
            self._outbox.put_answer(answer)

    # -- acknowledgements and credit --------------------------------------------------------------------------

    def wants_to_send(self) -> bool:
        return not self.draining and self.grant.wants_renewal()

    def flush(self, now: float) -> None:
        """Put ACKs that are due, and new credit, into the outbox."""
        if self.acks_due is not None and now >= self.acks_due:
            self._acknowledge(now)
        if not self.draining and self.grant.wants_renewal():
            self._link.send(Kind.CREDIT, "link.credit", Credit(limit=self.grant.renew()), now)

    def _acknowledge(self, now: float) -> None:
        """Acknowledge what is still in work. Commands answered within ``ack_delay`` never come here."""
        self.acks_due = None
        by_source: dict[PeerName, list[EnvelopeId]] = {}
        for command in self.window.running.values():
            if command.id not in self._acked and command.type not in self.slow_types:
                self._acked.add(command.id)
                by_source.setdefault(command.source, []).append(command.id)
        for source, ids in by_source.items():
            ack = self._link.envelope(Kind.ACK, "ack", source, Acks(ids=tuple(ids)), now)
            self._outbox.put_answer(ack)
