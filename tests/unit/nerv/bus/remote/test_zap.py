"""ZAP's answers, and the audit record of what was refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from nerv.bus.remote import zap
from nerv.bus.remote.audit import LINES_PER_SECOND, Audit, AuditRecord
from nerv.errors import ErrorCode, ErrorInfo

KEY = bytes(range(32))
KNOWN = {KEY: "ann"}


def request(
    *, mechanism: bytes = b"CURVE", domain: bytes = zap.DOMAIN, credentials: tuple[bytes, ...] = (KEY,)
) -> list[bytes]:
    return [b"conn", b"", b"1.0", b"7", domain, b"10.0.0.5", b"", mechanism, *credentials]


def test_a_known_key_is_let_in_under_its_name() -> None:
    reply, refusal = zap.answer(request(), KNOWN.get)
    assert refusal is None
    assert reply == [b"conn", b"", b"1.0", b"7", b"200", b"OK", b"ann", b""]


def test_everything_else_is_refused() -> None:
    for wrong in (
        request(credentials=(bytes(32),)),
        request(mechanism=b"NULL", credentials=()),
        request(mechanism=b"PLAIN", credentials=(b"ann", b"secret")),
        request(domain=b"other"),
        request(credentials=(KEY, KEY)),
    ):
        reply, refusal = zap.answer(wrong, KNOWN.get)
        assert reply[4] == b"400"
        assert reply[6] == b""
        assert refusal


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_arbitrary_frames_let_nobody_in(frames: list[bytes]) -> None:
    reply, refusal = zap.answer(frames, lambda _: None)
    assert refusal
    assert not reply or reply[4] == b"400"


def test_a_flood_is_cut_off_and_counted(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    error = ErrorInfo(code=ErrorCode.FORBIDDEN, reason="no")
    for _ in range(LINES_PER_SECOND + 50):
        audit.refused(1000.5, "command", error, key="ann", subject="task.submit")
    audit.refused(1001.5, "command", error, key="ann", subject="task.submit")
    audit.close()
    lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    records = [msgspec.json.decode(line, type=AuditRecord) for line in lines]
    assert len(records) == LINES_PER_SECOND + 1
    assert [record.left_out for record in records] == [0] * LINES_PER_SECOND + [50]
    assert records[0].subject == "task.submit"
