"""What a peer says next: envelopes by target, packed into one bundle for each when they leave."""

from __future__ import annotations

import msgspec

from nerv.bus import bundle as bundles
from nerv.bus.envelope import Envelope, PeerName
from nerv.bus.limits import Limits

Message = tuple[bytes, bytes]
"""``[target][bundle]``."""

_encode = msgspec.msgpack.Encoder().encode


class Outbox:
    """Commands need credit and other envelopes do not, so they never share a bundle; the others leave first.

    Not bounded here: commands are bounded by `Limits.pending`, answers by the credit that this peer granted.
    """

    def __init__(self) -> None:
        self.commands: dict[PeerName, list[Envelope]] = {}
        self.answers: dict[PeerName, list[Envelope]] = {}

    def __bool__(self) -> bool:
        return bool(self.commands or self.answers)

    def put_command(self, envelope: Envelope) -> None:
        queue = self.commands.get(envelope.target)
        if queue is None:
            self.commands[envelope.target] = [envelope]
        else:
            queue.append(envelope)

    def put_answer(self, envelope: Envelope) -> None:
        """A REPLY, ERROR, ACK or NACK, or an envelope of the link (its target is the broker)."""
        queue = self.answers.get(envelope.target)
        if queue is None:
            self.answers[envelope.target] = [envelope]
        else:
            queue.append(envelope)

    def clear(self) -> None:
        """The link is gone: commands are sent again from the table of pending ones, answers when asked for."""
        self.commands.clear()
        self.answers.clear()

    def take(self, limits: Limits) -> list[Message]:
        """Everything, in order per target."""
        messages: list[Message] = []
        if self.answers:
            answers, self.answers = self.answers, {}
            _pack(answers, limits, messages)
        if self.commands:
            commands, self.commands = self.commands, {}
            _pack(commands, limits, messages)
        return messages


def _pack(queues: dict[PeerName, list[Envelope]], limits: Limits, messages: list[Message]) -> None:
    max_envelopes, max_bytes = limits.bundle_envelopes, limits.bundle_bytes
    for target, envelopes in queues.items():
        frame = target.encode()
        if len(envelopes) <= max_envelopes:
            bundle = _encode(envelopes)
            if len(bundle) <= max_bytes:
                messages.append((frame, bundle))
                continue
        packed = bundles.pack(envelopes, max_envelopes=max_envelopes, max_bytes=max_bytes)
        messages.extend((frame, bundle) for bundle in packed)
