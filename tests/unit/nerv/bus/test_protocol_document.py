"""docs/protocol.md says what the code does: its vectors, fields, kinds and codes."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from nerv.bus import bundle as bundles
from nerv.bus.envelope import Envelope, Kind
from nerv.bus.link import Acks, Bye, Credit, Hello, LinkTick, Welcome
from nerv.errors import ErrorCode, ErrorInfo

DOCUMENT = (Path(__file__).parents[4] / "docs" / "protocol.md").read_text()
VECTORS = re.findall(r"^### (.+)\n\n```hex\n([0-9a-f\n]+)```", DOCUMENT, re.MULTILINE)
PAYLOADS: dict[Kind, type[msgspec.Struct]] = {
    Kind.HELLO: Hello,
    Kind.WELCOME: Welcome,
    Kind.ACK: Acks,
    Kind.ERROR: ErrorInfo,
    Kind.NACK: ErrorInfo,
    Kind.CREDIT: Credit,
    Kind.TICK: LinkTick,
    Kind.BYE: Bye,
}


def test_there_is_a_vector_for_each_kind_on_the_command_sockets() -> None:
    assert {name.split()[0] for name, _ in VECTORS} == {kind.name for kind in Kind} - {"EVENT"}


@pytest.mark.parametrize(("name", "text"), VECTORS)
def test_a_vector_decodes_and_encodes_to_the_same_bytes(name: str, text: str) -> None:
    data = bytes.fromhex(text.replace("\n", ""))
    (envelope,) = bundles.decode(data)
    assert envelope.kind.name == name.split()[0]
    assert bundles.encode([envelope]) == data
    payload = PAYLOADS.get(envelope.kind)
    if payload is not None:
        decoded = msgspec.msgpack.decode(envelope.payload, type=payload)
        assert msgspec.msgpack.encode(decoded) == bytes(envelope.payload)


def test_the_fields_are_listed_in_their_order() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", DOCUMENT, re.MULTILINE)
    assert [name for _, name in rows] == list(Envelope.__struct_fields__)
    assert [int(number) for number, _ in rows] == list(range(len(rows)))


def test_kinds_and_codes_are_listed() -> None:
    assert all(f"{kind.name} {kind.value}" in DOCUMENT for kind in Kind)
    assert all(f"`{code}`" in DOCUMENT for code in ErrorCode)
