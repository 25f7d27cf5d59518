"""W3C trace context (``traceparent``) of what a peer sends: one trace per correlation, a new span per hop.

Neither id is drawn at random: the trace is made from the correlation id, the span from the envelope's id. So work that
waits in a database, or that another actor takes up later under the same correlation, is in the same trace without
anything being kept for it. A trace that a client brought along is handed on as it is.
"""

from __future__ import annotations

import hashlib
import re

from nerv.bus.envelope import EnvelopeId, Incarnation

_LENGTH = 55
"""``00-<32 hex: trace>-<16 hex: span>-<2 hex: flags>``, of which NERV sets the flag *sampled*."""
_INCARNATION = re.compile(r"[0-9a-f]{12}")
_OWN_ID = re.compile(r"([0-9a-f]{12})-([0-9]{1,20})")


def trace_id(correlation: str) -> str:
    """32 hexadecimal digits. Of an id that NERV made they are its own characters, so that either finds the other."""
    own = _OWN_ID.fullmatch(correlation)
    if own is not None:
        return f"{own[1]}{own[2]:0>20}"
    return hashlib.blake2b(correlation.encode("utf-8", "replace"), digest_size=16).hexdigest()


class TraceSource:
    """Makes the trace context for the envelopes of one `IdSource`; spans are unique as its ids are."""

    def __init__(self, incarnation: Incarnation, mark: str = "") -> None:
        """The arguments of its `IdSource`."""
        source = f"{mark}{incarnation}"
        self._cut = len(source) + 1
        self._span = hashlib.blake2b(source.encode(), digest_size=4).hexdigest()
        self._head = f"00-{incarnation}" if not mark and _INCARNATION.fullmatch(incarnation) else ""

    def begin(self, envelope: EnvelopeId, correlation: str) -> str:
        """The first hop of a trace, or one that takes it up again."""
        number = envelope[self._cut :]
        if correlation == envelope and self._head:  # what `trace_id` gives, without taking the id apart
            return f"{self._head}{number:0>20}-{self._span}{number[-8:]:0>8}-01"
        return f"00-{trace_id(correlation)}-{self._span}{number[-8:]:0>8}-01"

    def follow(self, parent: str, envelope: EnvelopeId, correlation: str) -> str:
        """The next hop: the same trace, a new span. A ``parent`` that is no traceparent begins anew."""
        if len(parent) != _LENGTH or parent[2] != "-" or parent[35] != "-" or parent[52] != "-":
            return self.begin(envelope, correlation)
        return f"{parent[:36]}{self._span}{envelope[self._cut :][-8:].zfill(8)}{parent[52:]}"
