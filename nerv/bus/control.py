"""The broker's own commands: pure functions of its core."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from nerv.bus import bundle as bundles
from nerv.bus.broker_core import BrokerCore
from nerv.bus.deadletters import DeadLetter
from nerv.bus.envelope import Envelope, Kind
from nerv.bus.messages import (
    BusStatus,
    BusView,
    DeadLetterDrop,
    DeadLetterList,
    DeadLetterPage,
    DeadLetterResend,
    DeadLettersCounted,
    DeadLetterShow,
    DeadLetterView,
    PeerView,
    Tapped,
)
from nerv.bus.vocabulary import VOCABULARY, Message
from nerv.errors import ErrorCode, ErrorInfo, NervError, invalid

MAX_PAGE = 1000

_encode = msgspec.msgpack.Encoder().encode


def answer_requests(core: BrokerCore, now: float) -> None:
    """Answer every command to the broker itself that the core has gathered."""
    for command in core.take_requests():
        try:
            reply = respond(core, command, now)
        except NervError as error:
            core.answer(command, Kind.ERROR, "error", msgspec.Raw(_encode(error.info)), now)
        else:
            name, payload = VOCABULARY.encode_named(reply)
            core.answer(command, Kind.REPLY, name, payload, now)


def respond(core: BrokerCore, command: Envelope, now: float) -> Message:
    """The reply to one command; raises :class:`NervError`."""
    message = VOCABULARY.decode(command.type, command.payload)
    if isinstance(message, BusStatus):
        return view(core, now)
    if isinstance(message, DeadLetterList):
        return _page(core, message)
    if isinstance(message, DeadLetterShow):
        return DeadLetterPage(letters=(_view(_letter(core, message.number), whole=True),))
    if isinstance(message, DeadLetterResend):
        if not 0 < message.seconds <= 3600:
            raise NervError(
                invalid(f"{message.seconds!r} seconds", field="seconds", fix="more than 0, at most 3600")
            )
        return DeadLettersCounted(count=_resend(core, message, now))
    if isinstance(message, DeadLetterDrop):
        return DeadLettersCounted(count=len(list(_take(core, message.number))))
    raise NervError(
        ErrorInfo(
            code=ErrorCode.INVALID,
            reason=f"the broker does not handle {command.type!r}",
            field="target",
            fix=f"`nerv messages {command.type}` names its target",
        )
    )


def view(core: BrokerCore, now: float) -> BusView:
    boxes = {box.name: box for box in core.boxes()}
    peers = tuple(
        PeerView(
            name=link.name,
            incarnation=link.incarnation,
            kind=link.kind,
            software=link.software,
            since=link.since + core.epoch,
            silent=max(0.0, now - link.last_heard),
            credit=link.allowance.available,
            waiting=boxes[link.name].count if link.name in boxes else 0,
            backlog=len(link.backlog),
        )
        for link in sorted(core.links(), key=lambda link: link.name)
    )
    absent = {box.name: box.count for box in boxes.values() if box.holder is None and box.count}
    return BusView(incarnation=core.incarnation, peers=peers, absent=absent, totals=core.counts()._asdict())


def _page(core: BrokerCore, message: DeadLetterList) -> DeadLetterPage:
    limit = max(1, min(MAX_PAGE, message.limit))
    letters = [letter for letter in core.dead_letters if letter.number > message.after][:limit]
    return DeadLetterPage(letters=tuple(map(_view, letters)), dropped=core.dead_letters.dropped)


def _letter(core: BrokerCore, number: int) -> DeadLetter:
    letter = core.dead_letters.get(number)
    if letter is None:
        raise NervError(
            ErrorInfo(
                code=ErrorCode.NOT_FOUND,
                reason=f"no dead letter has the number {number}",
                field="number",
                fix="`nerv deadletter ls` lists them",
            )
        )
    return letter


def _resend(core: BrokerCore, message: DeadLetterResend, now: float) -> int:
    """How many were sent; a letter that cannot be sent stays, and is an error if it was named."""
    chosen = list(core.dead_letters) if message.number is None else [_letter(core, message.number)]
    sent = 0
    for letter in chosen:
        if core.resend(letter, now, seconds=message.seconds):
            core.dead_letters.take(letter.number)
            sent += 1
        elif message.number is not None:
            raise NervError(
                ErrorInfo(
                    code=ErrorCode.UNDELIVERABLE,
                    reason=f"no peer can be called {letter.envelope.target!r} now",
                    field="number",
                    fix="`nerv deadletter drop` forgets it",
                )
            )
    return sent


def _take(core: BrokerCore, number: int | None) -> Iterator[DeadLetter]:
    numbers = (
        [letter.number for letter in core.dead_letters] if number is None else [_letter(core, number).number]
    )
    for each in numbers:
        letter = core.dead_letters.take(each)
        if letter is not None:
            yield letter


def _view(letter: DeadLetter, *, whole: bool = False) -> DeadLetterView:
    envelope = letter.envelope
    return DeadLetterView(
        number=letter.number,
        at=letter.at,
        reason=letter.reason,
        id=envelope.id,
        type=envelope.type,
        source=envelope.source,
        target=envelope.target,
        correlation=envelope.correlation,
        payload_bytes=len(envelope.payload),
        payload=_as_json(envelope.payload) if whole else None,
    )


def _as_json(payload: msgspec.Raw) -> str:
    """The broker knows no types of messages: MessagePack's own structure, as JSON."""
    try:
        return msgspec.json.encode(msgspec.msgpack.decode(payload), enc_hook=repr).decode()
    except (msgspec.DecodeError, TypeError, RecursionError) as error:
        return f"undecodable: {error}"


def headers(bundle: bytes) -> Iterator[Tapped]:
    """What a tap shows of a bundle; nothing of one that does not decode (its receiver answers that)."""
    try:
        envelopes = bundles.decode(bundle)
    except bundles.BadBundle:
        return
    for envelope in envelopes:
        yield Tapped(
            id=envelope.id,
            kind=envelope.kind.name.lower(),
            type=envelope.type,
            source=envelope.source,
            target=envelope.target,
            correlation=envelope.correlation,
            causation=envelope.causation,
            attempt=envelope.attempt,
            sent_at=envelope.sent_at,
            payload_bytes=len(envelope.payload),
        )
