// The envelope and the bundle: docs/protocol.md, sections 2 and 3.
import { decode, encode } from "@msgpack/msgpack";

export const Kind = {
  COMMAND: 1, REPLY: 2, ERROR: 3, ACK: 4, NACK: 5, EVENT: 6,
  HELLO: 16, WELCOME: 17, CREDIT: 18, TICK: 19, BYE: 20,
};

const FIELDS = [
  "version", "id", "kind", "type", "source", "target", "correlation", "causation", "trace",
  "sentAt", "deadline", "attempt", "payload",
];
const DEFAULTS = {
  version: 1, correlation: "", causation: "", trace: "", sentAt: 0, deadline: 0, attempt: 1, payload: null,
};

export function encodeBundle(...envelopes) {
  return encode(envelopes.map((envelope) => FIELDS.map((field) => envelope[field] ?? DEFAULTS[field])));
}

function fromArray(values) {
  return Object.fromEntries(FIELDS.map((field, index) => [field, values[index] ?? DEFAULTS[field]]));
}

export function decodeBundle(bytes) {
  return decode(bytes).map(fromArray);
}

// An event's envelope is not in a bundle.
export function decodeEnvelope(bytes) {
  return fromArray(decode(bytes));
}
