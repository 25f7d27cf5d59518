"""Credit never goes below zero, is renewed at half, and makes good what was lost."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nerv.bus.credit import Allowance, Grant


def test_credit_is_renewed_when_half_of_it_is_used_and_given_back() -> None:
    grant = Grant(4)
    assert grant.restart() == 4
    grant.received, grant.returned = 1, 1
    assert not grant.wants_renewal()
    grant.received, grant.returned = 2, 2
    assert grant.wants_renewal()
    assert grant.renew() == 6
    assert not grant.wants_renewal()


def test_without_free_room_there_is_nothing_to_grant() -> None:
    grant = Grant(2)
    grant.restart()
    grant.received = 2
    assert not grant.wants_renewal()


def test_spending_more_than_there_is_is_an_error() -> None:
    allowance = Allowance(1)
    allowance.spend(1)
    with pytest.raises(ValueError, match="credit of 0"):
        allowance.spend(1)


def test_an_old_credit_that_arrives_late_takes_nothing_away() -> None:
    allowance = Allowance(10)
    allowance.raise_to(20)
    allowance.raise_to(15)
    assert allowance.available == 20


class CreditMachine(RuleBasedStateMachine):
    """Broker and receiver, with commands and CREDITs that may be lost between them."""

    def __init__(self) -> None:
        super().__init__()
        self.grant = Grant(5)
        self.allowance = Allowance(self.grant.restart())

    @precondition(lambda self: self.allowance.available > 0)
    @rule(data=st.data(), lost=st.booleans())
    def send(self, data: st.DataObject, lost: bool) -> None:
        count = data.draw(st.integers(1, self.allowance.available))
        self.allowance.spend(count)
        if not lost:
            self.grant.received += count

    @precondition(lambda self: self.grant.in_hand > 0)
    @rule()
    def finish(self) -> None:
        self.grant.returned += 1

    @rule(lost=st.booleans())
    def renew(self, lost: bool) -> None:
        if self.grant.wants_renewal():
            limit = self.grant.renew()
            if not lost:
                self.allowance.raise_to(limit)

    @rule()
    def tick(self) -> None:
        """Both sides tell their totals: what was lost is made good."""
        self.grant.reconcile(self.allowance.sent)
        self.allowance.raise_to(self.grant.granted)
        if self.grant.wants_renewal():
            self.allowance.raise_to(self.grant.renew())
        assert self.allowance.available > 0 or self.grant.in_hand == 5

    @invariant()
    def never_negative_and_never_more_in_hand_than_the_window(self) -> None:
        assert self.allowance.available >= 0
        assert 0 <= self.grant.in_hand <= 5


TestCredit = CreditMachine.TestCase
