"""Bundles: what is packed comes out, a peek tells the truth, and arbitrary bytes do no harm."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nerv.bus import bundle as bundles
from nerv.bus.broker_core import BrokerCore
from nerv.bus.control import answer_requests, headers
from nerv.bus.envelope import Envelope, EnvelopeId, Incarnation, Kind, PeerName
from nerv.bus.link import Acks, Bye, Credit, Hello, LinkTick, Renewed, Welcome
from nerv.bus.peer_core import PeerCore
from nerv.errors import ErrorCode, ErrorInfo

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


def read_all(data: bytes) -> None:
    """Every way in which a bundle is read."""
    for read in (bundles.decode, bundles.split, bundles.peek, lambda one: list(bundles.decode_each(one))):
        try:
            read(data)
        except bundles.BadBundle:
            continue
    list(headers(data))


MARKS = st.sampled_from([0x91, 0x9D, 0xC0, 0xC4, 0xC6, 0xC9, 0xCB, 0xD9, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xFF])
"""What MessagePack begins its arrays, maps, texts and extensions with."""
ALMOST = st.lists(st.one_of(MARKS, st.integers(0, 255)), max_size=60).map(bytes)


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=200), ALMOST))
def test_arbitrary_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    read_all(data)


@settings(max_examples=500)
@given(st.lists(ENVELOPES, min_size=1, max_size=3), st.data())
def test_a_bundle_with_a_few_wrong_bytes_is_read_or_refused(
    envelopes: list[Envelope], data: st.DataObject
) -> None:
    bundle = bytearray(bundles.encode(envelopes))
    for _ in range(data.draw(st.integers(1, 4))):
        bundle[data.draw(st.integers(0, len(bundle) - 1))] = data.draw(st.integers(0, 255))
    read_all(bytes(bundle[: data.draw(st.integers(0, len(bundle)))]))


HEAD = b"\x91\x9d\x01\xa1i\x01\xa1t\xa1s\xa1t\xa0\xa0\xa0\x00\x00\x01"
"""A bundle of one envelope, up to its payload."""


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff" + b"\x90" * 100,
        b"\x91\xdd\xff\xff\xff\xff\x01",
        b"\x91\x9d\x01\xdb\xff\xff\xff\xff",
        HEAD + b"\xdd\xff\xff\xff\xff",
        HEAD + b"\xdf\xff\xff\xff\xff",
        HEAD + b"\xc6\xff\xff\xff\xff",
        HEAD + b"\xc9\xff\xff\xff\xff\x05",
        HEAD + b"\x91" * 100_000,
        b"\x91" * 100_000,
    ],
)
def test_sizes_that_are_only_claimed_cost_no_memory(data: bytes) -> None:
    read_all(data)
    tracemalloc.start()
    try:
        read_all(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@given(st.lists(st.binary(max_size=200), max_size=5), st.lists(ENVELOPES, max_size=3))
def test_a_bad_envelope_in_a_bundle_costs_only_itself(bad: list[bytes], good: list[Envelope]) -> None:
    assume(bad or good)
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


NAMES = ("peer", "other", "bus", "", "stranger")
NUMBERS = st.one_of(st.integers(-2, 300), st.integers(-(2**63), 2**64 - 1))
STRUCTS = st.one_of(
    st.builds(
        Hello,
        name=st.sampled_from([*NAMES, "X"]),
        incarnation=st.sampled_from(["i", "j"]),
        started_at=st.floats(),
        credit=NUMBERS,
    ),
    st.builds(
        Welcome,
        incarnation=TEXT,
        tick=st.floats(0.1, 10.0),
        silent_ticks=st.integers(1, 10),
        message_bytes=st.integers(1, 2**40),
        bundle_bytes=st.integers(1, 2**40),
        bundle_envelopes=st.integers(1, 1000),
    ),
    st.builds(Credit, limit=NUMBERS),
    st.builds(LinkTick, sent=NUMBERS, limit=NUMBERS),
    st.builds(Renewed, name=st.sampled_from(NAMES), incarnation=TEXT),
    st.builds(Bye, reason=TEXT),
    st.builds(Acks, ids=st.lists(st.sampled_from(["p-2", "p-3", "x"]).map(EnvelopeId)).map(tuple)),
    st.builds(ErrorInfo, code=st.sampled_from(ErrorCode), reason=TEXT, retry_after=st.none() | st.floats()),
    st.dictionaries(st.sampled_from(["number", "seconds", "after", "limit"]), NUMBERS | st.floats()),
)
PAYLOADS = st.one_of(STRUCTS, st.none(), st.binary(max_size=20)).map(
    lambda value: msgspec.Raw(msgspec.msgpack.encode(value))
)
TRAFFIC = st.builds(
    Envelope,
    version=st.integers(0, 2),
    id=st.sampled_from(["p-1", "p-2", "p-3", "x", ""]).map(EnvelopeId),
    kind=st.sampled_from(Kind),
    type=st.sampled_from(["link.greet", "bus.status", "deadletter.list", "deadletter.resend", "no.such"]),
    source=st.sampled_from(NAMES).map(PeerName),
    target=st.sampled_from(NAMES).map(PeerName),
    causation=st.sampled_from(["", "p-2", "p-3", "x"]),
    deadline=st.floats(),
    attempt=st.integers(-1, 2),
    payload=PAYLOADS,
)
MESSAGES = st.tuples(
    st.sampled_from(NAMES).map(str.encode) | st.binary(max_size=10),
    st.lists(TRAFFIC, min_size=1, max_size=4).map(bundles.encode) | ALMOST,
)


@settings(max_examples=200)
@given(st.lists(MESSAGES, max_size=20))
def test_cores_outlive_any_messages(messages: list[tuple[bytes, bytes]]) -> None:
    """Whatever is said to them, by whom they know and whom they do not, well formed or not."""
    broker = BrokerCore(incarnation=Incarnation("b"), now=0.0)
    peer = PeerCore(name="peer", incarnation=Incarnation("p"), started_at=0.0, window=2)
    peer.link_up(0.0)
    for target, bundle in peer.outgoing(0.0):
        broker.receive(b"id", target, bundle, 0.0)
    for _, source, bundle in broker.outgoing():
        peer.receive(source, bundle, 0.0)
    pending = [
        peer.request("other", "t", msgspec.Raw(b"\x80"), now=0.0, timeout=timeout) for timeout in (5.0, 50.0)
    ]
    broker.tapping = True
    now = 0.0
    for frame, data in messages:
        now += 0.7
        broker.receive(b"id", frame, data, now)
        broker.receive(b"stranger", frame, data, now)
        answer_requests(broker, now)
        broker.tick(now)
        broker.outgoing()
        for _, _, tapped in broker.take_tapped():
            list(headers(tapped))
        peer.receive(frame, data, now)
        for command in peer.take_deliveries():
            peer.reply(command, "ok", msgspec.Raw(b"\x80"), now)
        peer.tick(now)
        peer.outgoing(now)
        assert all(link.allowance.available >= 0 for link in broker.links())
    peer.tick(51.0)
    assert all(one.done for one in pending)
    broker.tick(100.0)
    assert broker.counts().peers == 0


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
