"""Bundles: MessagePack arrays of envelopes. The broker peeks at the first bytes; only receivers decode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from nerv.bus.envelope import Envelope, EnvelopeId, Kind
from nerv.bus.limits import DEFAULT_LIMITS
from nerv.errors import UNDECODABLE

_encoder = msgspec.msgpack.Encoder()
_bundle_decoder = msgspec.msgpack.Decoder(list[Envelope])
_envelope_decoder = msgspec.msgpack.Decoder(Envelope)
_raw_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])

COMMAND_KIND = int(Kind.COMMAND)
ENVELOPE_FIELDS = len(Envelope.__struct_fields__)


class BadBundle(ValueError):
    """The bytes are no bundle. The message says what is wrong."""


def encode(envelopes: Sequence[Envelope | msgspec.Raw]) -> bytes:
    return _encoder.encode(envelopes)


def decode(bundle: bytes) -> list[Envelope]:
    """All envelopes of a bundle; raises :class:`BadBundle`."""
    try:
        return _bundle_decoder.decode(bundle)
    except UNDECODABLE as error:
        raise BadBundle(str(error)) from None


def decode_each(bundle: bytes, *, most: int = DEFAULT_LIMITS.bundle_most) -> Iterator[Envelope | BadEnvelope]:
    """One by one, for a bundle that `decode` refused: good envelopes are saved, bad ones described.

    Raises :class:`BadBundle`, also for one of more than ``most`` envelopes: each costs far more than its bytes here.
    """
    count, _ = count_of(bundle)
    if count > most:
        raise too_many(count)
    for raw in split(bundle):
        try:
            yield _envelope_decoder.decode(raw)
        except UNDECODABLE as error:
            yield BadEnvelope(id=_id_of(raw), reason=str(error))


class BadEnvelope(msgspec.Struct, frozen=True):
    """What can be told of an envelope that does not decode."""

    id: EnvelopeId
    reason: str


def _id_of(raw: msgspec.Raw) -> EnvelopeId:
    try:
        fields = msgspec.msgpack.decode(raw, type=list[msgspec.Raw])
        return EnvelopeId(msgspec.msgpack.decode(fields[1], type=str))
    except (*UNDECODABLE, IndexError):
        return EnvelopeId("")


def split(bundle: bytes) -> list[msgspec.Raw]:
    """The envelopes as they are, not decoded; raises :class:`BadBundle`."""
    try:
        return _raw_decoder.decode(bundle)
    except UNDECODABLE as error:
        raise BadBundle(str(error)) from None


def count_of(bundle: bytes) -> tuple[int, int]:
    """Number of envelopes, and where the first begins; raises :class:`BadBundle`."""
    try:
        first = bundle[0]
        if 0x91 <= first <= 0x9F:
            return first & 0x0F, 1
        if first == 0xDC:
            return int.from_bytes(bundle[1:3], "big"), 3
        if first == 0xDD:
            return int.from_bytes(bundle[1:5], "big"), 5
    except IndexError:
        raise BadBundle("the bundle ends before its first envelope does") from None
    raise BadBundle("a bundle is a MessagePack array of at least one envelope")


def too_many(count: int) -> BadBundle:
    return BadBundle(f"{count} envelopes in one bundle")


def peek(bundle: bytes) -> tuple[int, int]:
    """Number of envelopes and kind of the first, from the first bytes; raises :class:`BadBundle`.

    A bundle holds either commands only or no commands, so the first kind tells whether it needs credit.
    """
    count, at = count_of(bundle)
    try:
        if bundle[at] & 0xF0 != 0x90 and bundle[at] != 0xDC:
            raise BadBundle("an envelope is a MessagePack array")
        at += 1 if bundle[at] != 0xDC else 3
        at += 1  # version: a positive fixint for the next 127 versions
        id_head = bundle[at]
        if id_head & 0xE0 == 0xA0:
            at += 1 + (id_head & 0x1F)
        elif id_head == 0xD9:
            at += 2 + bundle[at + 1]
        else:
            raise BadBundle("an envelope's second field is its id, a text of at most 255 bytes")
        return count, bundle[at]
    except IndexError:
        raise BadBundle("the bundle ends before its first envelope does") from None


def pack(envelopes: list[Envelope], *, max_envelopes: int, max_bytes: int) -> Iterator[bytes]:
    """Bundles of bounded count and size, in order. A single envelope may exceed ``max_bytes``."""
    if len(envelopes) > max_envelopes:
        for start in range(0, len(envelopes), max_envelopes):
            yield from pack(
                envelopes[start : start + max_envelopes], max_envelopes=max_envelopes, max_bytes=max_bytes
            )
        return
    bundle = _encoder.encode(envelopes)
    if len(bundle) <= max_bytes or len(envelopes) == 1:
        yield bundle
        return
    half = len(envelopes) // 2
    for part in (envelopes[:half], envelopes[half:]):
        yield from pack(part, max_envelopes=max_envelopes, max_bytes=max_bytes)
