"""The bus: envelopes, broker, peers. What may not come in: tasks, browsers, databases, anything of one application.

Only the light parts are re-exported here; sockets are imported from their own modules (`broker_socket`,
`peer_socket`), so that naming a message type costs no ZeroMQ.
"""

from __future__ import annotations

from nerv.bus.envelope import Envelope, EnvelopeId, Incarnation, Kind, PeerName
from nerv.bus.vocabulary import VOCABULARY, Message, MessageType, Purpose, Role, Vocabulary

__all__ = (
    "VOCABULARY",
    "Envelope",
    "EnvelopeId",
    "Incarnation",
    "Kind",
    "Message",
    "MessageType",
    "PeerName",
    "Purpose",
    "Role",
    "Vocabulary",
)
