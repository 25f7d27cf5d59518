"""Bundles: what is packed comes out, a peek tells the truth, and arbitrary bytes do no harm."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerv.bus import bundle as bundles
from nerv.bus.broker_core import BrokerCore
from nerv.bus.envelope import Envelope, EnvelopeId, Incarnation, Kind, PeerName
from nerv.bus.peer_core import PeerCore

TEXT = st.text(max_size=40)
ENVELOPES = st.builds(
    Envelope,
    id=st.text(max_size=80).map(EnvelopeId),
    kind=st.sampled_from(Kind),
    type=TEXT,
    source=TEXT.map(PeerName),
    target=TEXT.map(PeerName),
    correlation=TEXT,
    causation=TEXT,
    trace=TEXT,
    sent_at=st.floats(allow_nan=False),
    deadline=st.floats(allow_nan=False),
    attempt=st.integers(0, 2**31),
    payload=st.binary(max_size=300).map(lambda data: msgspec.Raw(msgspec.msgpack.encode(data))),
)


def fields(envelope: Envelope) -> tuple[object, ...]:
    return (*(getattr(envelope, name) for name in Envelope.__struct_fields__[:-1]), bytes(envelope.payload))


@given(st.lists(ENVELOPES, min_size=1, max_size=40), st.integers(1, 10), st.integers(1, 2000))
def test_packing_keeps_every_envelope_in_order_within_the_bounds(
    envelopes: list[Envelope], max_envelopes: int, max_bytes: int
) -> None:
    packed = list(bundles.pack(envelopes, max_envelopes=max_envelopes, max_bytes=max_bytes))
    unpacked = [bundles.decode(one) for one in packed]
    assert [fields(envelope) for part in unpacked for envelope in part] == [fields(one) for one in envelopes]
    assert all(len(part) <= max_envelopes for part in unpacked)
    assert all(len(one) <= max_bytes or len(part) == 1 for one, part in zip(packed, unpacked, strict=True))


@given(st.lists(ENVELOPES, min_size=1, max_size=20))
def test_a_peek_tells_count_and_first_kind_without_decoding(envelopes: list[Envelope]) -> None:
    assert bundles.peek(bundles.encode(envelopes)) == (len(envelopes), envelopes[0].kind)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    for read in (bundles.decode, bundles.split, bundles.peek):
        try:
            read(data)
        except bundles.BadBundle:
            continue


@given(st.lists(st.binary(max_size=200), max_size=5), st.lists(ENVELOPES, max_size=3))
def test_a_bad_envelope_in_a_bundle_costs_only_itself(bad: list[bytes], good: list[Envelope]) -> None:
    raws = [msgspec.Raw(msgspec.msgpack.encode(data)) for data in bad]
    bundle = bundles.encode([*raws, *good])
    found = list(bundles.decode_each(bundle))
    assert sum(isinstance(item, bundles.BadEnvelope) for item in found) == len(bad)
    assert [fields(item) for item in found if isinstance(item, Envelope)] == [fields(one) for one in good]


def test_the_id_of_a_bad_envelope_is_told_where_it_can_be_read() -> None:
    raw = msgspec.Raw(msgspec.msgpack.encode([1, "the-id", "not a kind"]))
    (bad,) = bundles.decode_each(bundles.encode([raw]))
    assert isinstance(bad, bundles.BadEnvelope)
    assert bad.id == "the-id"


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=100)), max_size=20))
def test_cores_outlive_any_bytes(messages: list[tuple[bytes, bytes]]) -> None:
    broker = BrokerCore(incarnation=Incarnation("b"), now=0.0)
    peer = PeerCore(name="peer", incarnation=Incarnation("p"), started_at=0.0)
    peer.link_up(0.0)
    for target, bundle in peer.outgoing(0.0):
        broker.receive(b"id", target, bundle, 0.0)
    for _, source, bundle in broker.outgoing():
        peer.receive(source, bundle, 0.0)
    for frame, data in messages:
        broker.receive(b"id", frame, data, 0.0)
        broker.receive(b"stranger", frame, data, 0.0)
        peer.receive(frame, data, 0.0)
    broker.outgoing()
    assert broker.counts().peers == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends before"),
        (b"\x90", "at least one"),
        (b"\x91\xc0", "an envelope is a MessagePack array"),
        (b"\x91\x9d\x01\xc0", "its id"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, reason: str) -> None:
    with pytest.raises(bundles.BadBundle, match=reason):
        bundles.peek(data)
