"""What a role may send and see, as pure rules."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernel.messages  # noqa: F401  - fills the vocabulary
from nerv.bus import bundle as bundles
from nerv.bus.envelope import BROKER, Envelope, EnvelopeId, Kind, PeerName
from nerv.bus.link import Hello
from nerv.bus.remote.rules import Caller, TopicRules, examine
from nerv.bus.vocabulary import VOCABULARY, Purpose, Role
from nerv.errors import ErrorCode

COMMANDS = [entry for entry in VOCABULARY if entry.purpose is Purpose.COMMAND]
ROLES = st.sampled_from(list(Role))


def envelope(
    type_name: str, *, source: str = "ann.1", kind: Kind = Kind.COMMAND, number: int = 1
) -> Envelope:
    return Envelope(
        id=EnvelopeId(f"life-{number}"),
        kind=kind,
        type=type_name,
        source=PeerName(source),
        target=PeerName("queue"),
    )


@given(ROLES, st.lists(st.sampled_from(COMMANDS), min_size=1, max_size=8))
def test_exactly_the_commands_above_the_role_are_taken_out_of_a_bundle(role: Role, entries: list) -> None:  # type: ignore[type-arg]
    sent = [envelope(entry.name, number=number) for number, entry in enumerate(entries)]
    verdict = examine(Caller("ann", role), b"queue", bundles.encode(sent), VOCABULARY)
    allowed = [
        each
        for each, entry in zip(sent, entries, strict=True)
        if role >= entry.role and entry.target in (None, "queue")
    ]
    assert (bundles.decode(verdict.bundle) if verdict.bundle else []) == allowed
    assert [refusal.envelope for refusal in verdict.refusals] == [
        each for each in sent if each not in allowed
    ]
    assert all(refusal.error.code is ErrorCode.FORBIDDEN for refusal in verdict.refusals)


@pytest.mark.parametrize("target", [b"queue", b"bus", b""])
def test_a_command_is_examined_wherever_it_goes(target: bytes) -> None:
    verdict = examine(
        Caller("ann", Role.VIEWER), target, bundles.encode([envelope("supervisor.stop")]), VOCABULARY
    )
    assert verdict.bundle is None
    assert len(verdict.refusals) == 1


def test_a_command_behind_an_answer_does_not_slip_through() -> None:
    mixed = bundles.encode([envelope("ok", kind=Kind.REPLY), envelope("supervisor.stop", number=2)])
    verdict = examine(Caller("ann", Role.VIEWER), b"queue", mixed, VOCABULARY)
    assert verdict.bundle is None
    assert verdict.malformed


@pytest.mark.parametrize("source", ["queue", "ann", "ann.", "bob.1", ""])
def test_nobody_sends_in_the_name_of_another(source: str) -> None:
    verdict = examine(
        Caller("ann", Role.OPERATOR),
        b"queue",
        bundles.encode([envelope("task.list", source=source)]),
        VOCABULARY,
    )
    assert verdict.bundle is None
    assert verdict.banned is not None


@pytest.mark.parametrize(
    ("name", "good"), [("ann.1", True), ("queue", False), ("bob.1", False), ("ann.", False)]
)
def test_a_name_must_begin_with_the_key(name: str, good: bool) -> None:
    hello = Hello(name=name, incarnation="1", started_at=1.0, credit=0)
    bundle = bundles.encode(
        [
            Envelope(
                id=EnvelopeId("life-1"),
                kind=Kind.HELLO,
                type="link.hello",
                source=PeerName("ann.1"),
                target=BROKER,
                payload=msgspec.Raw(msgspec.msgpack.encode(hello)),
            )
        ]
    )
    verdict = examine(Caller("ann", Role.VIEWER), b"", bundle, VOCABULARY)
    assert (verdict.bundle == bundle) is good
    assert (verdict.banned is None) is good


def test_a_type_that_the_broker_does_not_know_is_for_admins_only() -> None:
    verdict = examine(
        Caller("ann", Role.OPERATOR), b"queue", bundles.encode([envelope("no.such")]), VOCABULARY
    )
    assert verdict.refusals[0].error.code is ErrorCode.UNKNOWN_TYPE


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_judged_and_never_crash(data: bytes) -> None:
    verdict = examine(Caller("ann", Role.VIEWER), b"queue", data, VOCABULARY)
    assert verdict.bundle is None or bundles.decode(verdict.bundle) is not None


PREFIXES = st.one_of(
    st.text("taskreplyog.", max_size=6), st.sampled_from(["", "task.01J", "tap.", "t", "log"])
)


@given(
    ROLES, PREFIXES, st.sampled_from(["task.1", "reply.1", "log.x", "tap.task.submit", "tick.a", "other.x"])
)
def test_what_is_granted_shows_every_event_it_may_and_no_other(role: Role, prefix: str, topic: str) -> None:
    granted = TopicRules(VOCABULARY).granted(role, prefix)
    needed = {
        "task": Role.VIEWER,
        "reply": Role.VIEWER,
        "tick": Role.VIEWER,
        "log": Role.OPERATOR,
        "tap": Role.OPERATOR,
    }
    allowed = role >= needed.get(topic.partition(".")[0], Role.ADMIN)
    assert topic.startswith(granted or ("\0",)) is (allowed and topic.startswith(prefix))


def test_a_command_goes_only_to_the_actor_it_is_for() -> None:
    bundle = bundles.encode([envelope("task.list")])
    assert examine(Caller("ann", Role.VIEWER), b"queue", bundle, VOCABULARY).bundle == bundle
    (refusal,) = examine(Caller("ann", Role.VIEWER), b"no-such-actor", bundle, VOCABULARY).refusals
    assert refusal.error.field == "target"
