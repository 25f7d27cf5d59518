"""What a peer with less than every right may send and see. Pure: bytes, a role and the vocabulary in, verdicts out.

Local peers (ipc, in a directory of mode 0700) and keys of role admin never come here: they may do everything, and
the broker does not decode what they send.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from nerv.bus import bundle as bundles
from nerv.bus.envelope import Envelope, Kind
from nerv.bus.events import PROBE
from nerv.bus.limits import DEFAULT_LIMITS
from nerv.bus.link import Hello
from nerv.bus.messages import BUS_NAME
from nerv.bus.vocabulary import MessageType, Purpose, Role, Vocabulary
from nerv.errors import UNDECODABLE, ErrorCode, ErrorInfo

_decode_hello = msgspec.msgpack.Decoder(Hello).decode
_ANSWERS = frozenset({Kind.REPLY, Kind.ERROR, Kind.ACK, Kind.NACK})
_LINK = frozenset({Kind.HELLO, Kind.CREDIT, Kind.TICK, Kind.BYE, Kind.COMMAND})


class Caller(NamedTuple):
    """Who sends, as the handshake has proved it: the name of its key, and what that may do."""

    key: str
    role: Role

    def may_be_called(self, name: str) -> bool:
        return name.startswith(f"{self.key}.") and len(name) > len(self.key) + 1


class Refusal(NamedTuple):
    """One command that goes no further."""

    envelope: Envelope
    error: ErrorInfo


class Verdict(NamedTuple):
    """``bundle``: what may go on (None: nothing). ``malformed``: why the whole is no proper bundle.
    ``banned``: the peer itself is not welcome."""

    bundle: bytes | None
    refusals: tuple[Refusal, ...] = ()
    malformed: str | None = None
    banned: ErrorInfo | None = None


def examine(
    caller: Caller,
    target: bytes,
    bundle: bytes,
    vocabulary: Vocabulary,
    *,
    most: int = DEFAULT_LIMITS.bundle_most,
) -> Verdict:
    """Whether this message ``[target][bundle]`` of at most ``most`` envelopes may go on, whole or in part."""
    try:
        count, _ = bundles.count_of(bundle)
        if count > most:
            raise bundles.too_many(count)
        envelopes = bundles.decode(bundle)
    except bundles.BadBundle as error:
        return Verdict(None, malformed=str(error))
    for envelope in envelopes:
        if not caller.may_be_called(envelope.source):
            return Verdict(None, banned=_misnamed(caller, envelope.source))
    if not target:
        return _examine_link(caller, envelopes, bundle, vocabulary)
    kinds = {envelope.kind for envelope in envelopes}
    if kinds <= _ANSWERS:
        return Verdict(bundle)
    if kinds != {Kind.COMMAND}:
        return Verdict(None, malformed="a bundle for a peer holds commands only, or answers only")
    return _without_refused(caller, target.decode("utf-8", "replace"), envelopes, bundle, vocabulary)


def _examine_link(
    caller: Caller, envelopes: list[Envelope], bundle: bytes, vocabulary: Vocabulary
) -> Verdict:
    for envelope in envelopes:
        if envelope.kind not in _LINK:
            return Verdict(None, malformed=f"{envelope.kind.name} is not for the broker")
        if envelope.kind is Kind.HELLO:
            try:
                name = _decode_hello(envelope.payload).name
            except UNDECODABLE as error:
                return Verdict(None, malformed=f"HELLO: {error}")
            if not caller.may_be_called(name):
                return Verdict(None, banned=_misnamed(caller, name))
    return _without_refused(caller, BUS_NAME, envelopes, bundle, vocabulary)


def _without_refused(
    caller: Caller, target: str, envelopes: list[Envelope], bundle: bytes, vocabulary: Vocabulary
) -> Verdict:
    good: list[Envelope] = []
    refusals: list[Refusal] = []
    for envelope in envelopes:
        error = refuses(caller, target, envelope.type, vocabulary) if envelope.kind is Kind.COMMAND else None
        if error is None:
            good.append(envelope)
        else:
            refusals.append(Refusal(envelope, error))
    if not refusals:
        return Verdict(bundle)
    return Verdict(bundles.encode(good) if good else None, tuple(refusals))


def refuses(caller: Caller, target: str, type_name: str, vocabulary: Vocabulary) -> ErrorInfo | None:
    """Why this caller may not send commands of this type to this target; None: it may."""
    entry = vocabulary.named(type_name) if type_name in vocabulary else None
    if entry is None or entry.purpose is not Purpose.COMMAND:
        return ErrorInfo(
            code=ErrorCode.UNKNOWN_TYPE,
            reason=f"the broker knows no command {type_name!r}, so that only a key of role admin may send it",
            field="type",
            fix="`nerv messages` lists the types; actor.bus.settings.vocabulary names the modules with more",
        )
    if caller.role >= entry.role:
        if entry.target in (None, target):
            return None
        return ErrorInfo(  # queues for names that nobody has are not for strangers to fill
            code=ErrorCode.FORBIDDEN,
            reason=f"{type_name!r} is for {entry.target!r}, not for {target!r}",
            field="target",
            fix=f"send it to {entry.target!r}",
        )
    return ErrorInfo(
        code=ErrorCode.FORBIDDEN,
        reason=f"{type_name!r} needs the role {_role(entry.role)}, {caller.key!r} has {_role(caller.role)}",
        field="type",
        fix=f"use a key of that role: nerv key new NAME --role {_role(entry.role)}",
    )


def _misnamed(caller: Caller, name: str) -> ErrorInfo:
    return ErrorInfo(
        code=ErrorCode.FORBIDDEN,
        reason=f"a peer with the key {caller.key!r} cannot be called {name!r}",
        field="name",
        fix=f"call it {caller.key}.<anything>",
    )


class TopicRules:
    """Which classes of topics (``task``, ``reply``, …) a role may see: those of all event types in them."""

    def __init__(self, types: Iterable[MessageType]) -> None:
        self._roles: dict[str, Role] = {}
        for entry in types:
            if entry.purpose is Purpose.EVENT:
                before = self._roles.get(entry.topic, Role.VIEWER)
                self._roles[entry.topic] = max(before, entry.role)

    def granted(self, role: Role, prefix: str) -> tuple[str, ...]:
        """The prefixes that stand for a subscription to ``prefix``; none: it is refused.

        A prefix that reaches into several classes (``t``, or the empty one) becomes one for each class allowed.
        """
        if role >= Role.ADMIN or prefix.startswith(PROBE):
            return (prefix,)
        name, dot, _ = prefix.partition(".")
        if dot:
            needed = self._roles.get(name)
            return (prefix,) if needed is not None and role >= needed else ()
        return tuple(
            f"{each}."
            for each, needed in sorted(self._roles.items())
            if each.startswith(name) and role >= needed
        )


def topic_refused(caller: Caller, prefix: str) -> ErrorInfo:
    return ErrorInfo(
        code=ErrorCode.FORBIDDEN,
        reason=f"{caller.key!r} with the role {_role(caller.role)} may not see events of {prefix!r}",
        field="topics",
        fix="subscribe to others, or use a key with a higher role",
    )


def _role(role: Role) -> str:
    return role.name.lower()
