"""Commands on their way through the broker: sent on as far as credit goes, else queued, refused or expired. No I/O."""

from __future__ import annotations

from nerv.bus import bundle as bundles
from nerv.bus.broker_outbox import BrokerOutbox
from nerv.bus.deadletters import DeadLetter, DeadLetters, DeathReason
from nerv.bus.envelope import Envelope
from nerv.bus.mailbox import Link, Mailbox, Waiting
from nerv.bus.registry import Registry
from nerv.errors import ErrorCode, ErrorInfo


class Routing:
    """Each target has a bounded queue. Whatever does not get through is told to its sender by NACK."""

    def __init__(self, outbox: BrokerOutbox, registry: Registry) -> None:
        limits = outbox.limits
        self.dead_letters = DeadLetters(max_letters=limits.dead_letters, max_bytes=limits.dead_letter_bytes)
        self.commands = self.queued = self.busy = self.undeliverable = self.expired = 0
        self._outbox = outbox
        self._registry = registry

    def route(self, link: Link, target: bytes, bundle: bytes, count: int, now: float) -> None:
        """A bundle of ``count`` commands from ``link``; raises `BadBundle`."""
        self.commands += count
        box = self._registry.boxes.get(target) or self._registry.open_box(target, now)
        if box is None:
            self._give_up(link.frame, bundle, _unknown(target), now)
            return
        box.senders[link.frame] = None
        holder = box.holder
        if holder is not None and not box.waiting and holder.allowance.available >= count:
            holder.allowance.sent += count
            self._outbox.send(holder, link.frame, bundle)
        else:
            self._enqueue(box, link, bundle, count, now)
            self.pump(box)

    # -- waiting for credit -----------------------------------------------------------------------------------

    def _enqueue(self, box: Mailbox, link: Link, bundle: bytes, count: int, now: float) -> None:
        limits = self._outbox.limits
        fresh = [envelope for envelope in bundles.decode(bundle) if envelope.id not in box.ids]
        room = max(0, limits.queue_envelopes - box.count)
        if box.bytes + len(bundle) > limits.queue_bytes and box.count:
            room = 0
        if room < len(fresh):
            busy = ErrorInfo(
                code=ErrorCode.BUSY,
                reason=f"{box.count} commands already wait for {box.name!r}",
                retry_after=limits.busy_retry,
            )
            self.busy += len(fresh) - room
            self._nack(link.frame, fresh[room:], busy, now)
            fresh = fresh[:room]
        if not fresh:
            return
        if len(fresh) < count:
            bundle = bundles.encode(fresh)
        self.queued += len(fresh)
        box.push(_waiting(link.frame, bundle, fresh, now))

    def pump(self, box: Mailbox) -> None:
        """Send what waits, as far as the credit goes."""
        holder = box.holder
        if holder is None:
            return
        allowance = holder.allowance
        while box.waiting and allowance.available > 0:
            item = box.pop()
            free = allowance.available
            if len(item.ids) > free:
                item, rest = item.split(free)
                box.push(rest, front=True)
            allowance.spend(len(item.ids))
            self._outbox.send(holder, item.source, item.bundle)

    def resend(self, letter: DeadLetter, now: float, deadline: float) -> bool:
        """Send a dead letter once more, in the name of its sender. ``deadline``: seconds since the epoch.

        False if its target can have no mailbox: it is no name for a peer, or there are too many names.
        """
        envelope = letter.again(deadline)
        box = self._registry.open_box(envelope.target.encode(), now)
        if box is None:
            return False
        bundle = bundles.encode([envelope])
        self._outbox.tap(envelope.source.encode(), box.frame, bundle)
        box.push(_waiting(envelope.source.encode(), bundle, [envelope], now))
        self.pump(box)
        return True

    # -- giving up --------------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Drop what is past its deadline, and what has waited too long for a name that nobody holds."""
        for box in self._registry.boxes.values():
            if box.waiting:
                self._expire(box, now)

    def _expire(self, box: Mailbox, now: float) -> None:
        limits = self._outbox.limits
        wall = now + self._outbox.epoch
        hold = limits.hold_unknown if box.incarnation is None else limits.hold_known
        for _ in range(len(box.waiting)):
            item = box.pop()
            if box.holder is None and now - max(item.arrived, box.absent_since) >= hold:
                self._give_up(item.source, item.bundle, _unknown(box.frame), now)
            elif item.expires and item.expires <= wall:
                self._drop_expired(box, item, now)
            else:
                box.push(item)

    def _drop_expired(self, box: Mailbox, item: Waiting, now: float) -> None:
        wall = now + self._outbox.epoch
        alive: list[Envelope] = []
        for envelope in bundles.decode(item.bundle):
            if envelope.deadline and envelope.deadline <= wall:
                self.expired += 1
                self.dead_letters.add(envelope, DeathReason.EXPIRED, wall)
                error = ErrorInfo(
                    code=ErrorCode.DEADLINE, reason=f"its deadline passed while it waited for {box.name!r}"
                )
                self._nack(item.source, [envelope], error, now)
            else:
                alive.append(envelope)
        if alive:
            box.push(_waiting(item.source, bundles.encode(alive), alive, item.arrived))

    def _give_up(self, source: bytes, bundle: bytes, error: ErrorInfo, now: float) -> None:
        """Undeliverable: to the dead letters; raises `BadBundle`."""
        envelopes = bundles.decode(bundle)
        self.undeliverable += len(envelopes)
        for envelope in envelopes:
            self.dead_letters.add(envelope, DeathReason.UNDELIVERABLE, now + self._outbox.epoch)
        self._nack(source, envelopes, error, now)

    def _nack(self, source: bytes, commands: list[Envelope], error: ErrorInfo, now: float) -> None:
        sender = self._registry.holder(source)
        if sender is None:
            self._outbox.dropped += len(commands)
        else:
            self._outbox.nack(sender, commands, error, now)


def _unknown(target: bytes) -> ErrorInfo:
    return ErrorInfo(
        code=ErrorCode.UNDELIVERABLE,
        reason=f"no peer is called {target.decode('utf-8', 'replace')!r}",
        field="target",
        fix="`nerv status` lists the actors",
    )


def _waiting(source: bytes, bundle: bytes, envelopes: list[Envelope], arrived: float) -> Waiting:
    return Waiting(
        source=source,
        bundle=bundle,
        ids=tuple(envelope.id for envelope in envelopes),
        arrived=arrived,
        expires=min((envelope.deadline for envelope in envelopes if envelope.deadline), default=0.0),
    )
