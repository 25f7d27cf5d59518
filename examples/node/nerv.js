// A peer of the NERV bus that sends commands and reads events: docs/protocol.md, sections 4 to 7.
// It handles no commands, so it grants no credit (HELLO's `credit` is 0) and needs no window of answers.
import { randomBytes } from "node:crypto";
import { Dealer, Subscriber } from "zeromq";
import { Kind, decodeBundle, decodeEnvelope, encodeBundle } from "./envelope.js";

const HELLO_PAUSE = 0.25;
const RESENDS = [0.5, 1, 2, 4, 5];
const PROBES = [2, 4, 8, 10];
const LOOP_PAUSE = 50; // milliseconds: how often the timers are looked at
const SUBSCRIBED_WITHIN = 10; // seconds

const now = () => Date.now() / 1000;
const last = (list, index) => list[Math.min(index, list.length - 1)];

export class NervError extends Error {
  constructor(info) {
    super(`${info.code}: ${info.reason}`);
    this.info = info;
  }
}

export class Client {
  // endpoints: {commands, events}; key: {server, public, secret} in Z85, for TCP.
  constructor(endpoints, { name, key } = {}) {
    this.incarnation = randomBytes(6).toString("hex");
    this.name = name ?? `node-${process.pid}-${this.incarnation.slice(0, 6)}`;
    this.startedAt = now();
    this.welcomes = 0;
    this.pending = new Map();
    this.topics = new Map();
    this.probes = new Map();
    this.counter = 0;
    this.link = "greeting";
    this.greetAt = 0;
    this.heardAt = now();
    this.tick = 1;
    this.silentTicks = 5;
    this.outbox = Promise.resolve();

    const local = endpoints.commands.startsWith("ipc:");
    const curve = key
      ? { curveServerKey: key.server, curvePublicKey: key.public, curveSecretKey: key.secret }
      : {};
    const reconnecting = { linger: 0, reconnectInterval: 20, reconnectMaxInterval: 100, ...curve };
    this.dealer = new Dealer({
      ...reconnecting,
      immediate: true,
      sendTimeout: 0,
      // On TCP the broker gives each connection an id of its own.
      ...(local ? { routingId: `${this.name}@${this.incarnation}` } : {}),
    });
    this.events = new Subscriber(reconnecting);
    this.dealer.connect(endpoints.commands);
    this.events.connect(endpoints.events);
    this.timer = setInterval(() => this.#onTimer(), LOOP_PAUSE);
    this.running = [this.#readCommands(), this.#readEvents()];
  }

  // -- requests -------------------------------------------------------------------------------------------------

  // Resolves to the reply's payload; rejects with NervError. `onAck` is called once, when the command is accepted.
  request(target, type, payload, { timeout = 30, onAck } = {}) {
    const id = this.#nextId();
    const sentAt = now();
    const envelope = {
      id, kind: Kind.COMMAND, type, source: this.name, target,
      correlation: id, trace: this.#trace(), sentAt, deadline: sentAt + timeout, payload,
    };
    return new Promise((resolve, reject) => {
      this.pending.set(id, { envelope, resolve, reject, onAck, tries: 0, accepted: false, due: 0 });
      if (this.link === "up") this.#sendCommand(this.pending.get(id));
    });
  }

  #trace() {
    return `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-01`;
  }

  #nextId() {
    this.counter += 1;
    return `${this.incarnation}-${this.counter}`;
  }

  #sendCommand(entry) {
    const pauses = entry.accepted ? PROBES : RESENDS;
    entry.due = now() + last(pauses, entry.tries);
    entry.tries += 1;
    this.#send(entry.envelope.target, entry.envelope);
  }

  // One send at a time. What the socket refuses (no connection, queue full) is lost here: HELLO, TICK and commands are
  // all sent again by their timers.
  #send(target, envelope) {
    this.outbox = this.outbox
      .then(() => this.dealer.send([target, encodeBundle(envelope)]))
      .catch((error) => {
        if (error.code !== "EAGAIN") throw error;
      });
  }

  #settle(entry, outcome, value) {
    this.pending.delete(entry.envelope.id);
    entry[outcome](value);
  }

  // -- the link -------------------------------------------------------------------------------------------------

  #sendLink(kind, type, payload) {
    this.#send("", { id: this.#nextId(), kind, type, source: this.name, target: "", sentAt: now(), payload });
  }

  #greet() {
    this.link = "greeting";
    this.greetAt = now() + HELLO_PAUSE;
    this.#sendLink(Kind.HELLO, "link.hello", {
      name: this.name, incarnation: this.incarnation, started_at: this.startedAt,
      credit: 0, kind: "client", software: "nerv example for node",
    });
  }

  #onTimer() {
    const time = now();
    if (this.link === "ended") return;
    if (this.link === "greeting") {
      if (time >= this.greetAt) this.#greet();
    } else if (time - this.heardAt > this.tick * this.silentTicks) {
      this.#greet();
    } else if (time >= this.tickAt) {
      this.tickAt = time + this.tick;
      this.#sendLink(Kind.TICK, "link.tick", { sent: 0, limit: 0 });
    }
    for (const entry of [...this.pending.values()]) {
      if (time >= entry.envelope.deadline) {
        this.#settle(entry, "reject", new NervError({ code: "deadline", reason: `no answer from ${entry.envelope.target}` }));
      } else if (this.link === "up" && time >= entry.due) {
        this.#sendCommand(entry);
      }
    }
  }

  async #readCommands() {
    for await (const [source, bundle] of this.dealer) {
      this.heardAt = now();
      for (const envelope of decodeBundle(bundle)) {
        if (envelope.source === source.toString()) this.#onEnvelope(envelope);
      }
    }
  }

  #onEnvelope(envelope) {
    switch (envelope.kind) {
      case Kind.WELCOME:
        if (this.link !== "greeting") return;
        this.link = "up";
        this.welcomes += 1;
        this.tick = envelope.payload.tick;
        this.silentTicks = envelope.payload.silent_ticks;
        this.tickAt = now() + this.tick;
        this.#sendAgain(() => true);
        break;
      case Kind.HELLO: // "I do not know you"
        if (this.link === "up") this.#greet();
        break;
      case Kind.EVENT:
        if (envelope.type === "link.renewed") {
          this.#sendAgain((entry) => entry.envelope.target === envelope.payload.name);
        }
        break;
      case Kind.ACK:
        for (const id of envelope.payload.ids) this.#onAck(this.pending.get(id), envelope);
        break;
      case Kind.REPLY:
      case Kind.ERROR:
      case Kind.NACK:
        this.#onAnswer(envelope);
        break;
      default:
        break; // TICK: heardAt is all it is for, where no credit was granted
    }
  }

  #sendAgain(which) {
    for (const entry of this.pending.values()) {
      if (which(entry)) {
        entry.tries = 0;
        this.#sendCommand(entry);
      }
    }
  }

  #onAck(entry, envelope) {
    if (!entry || entry.envelope.target !== envelope.source) return;
    if (!entry.accepted) entry.onAck?.();
    entry.accepted = true;
    entry.tries = 0;
    entry.due = now() + PROBES[0];
  }

  #onAnswer(envelope) {
    const entry = this.pending.get(envelope.causation);
    const fromBroker = envelope.source === "";
    if (!entry || envelope.attempt !== 1) {
      if (fromBroker && envelope.kind === Kind.ERROR && envelope.causation === "") this.#onUnwelcome(envelope.payload);
      return;
    }
    if (!fromBroker && envelope.source !== entry.envelope.target) return;
    if (envelope.kind === Kind.REPLY) {
      if (!entry.accepted) entry.onAck?.();
      this.#settle(entry, "resolve", envelope.payload);
    } else if (envelope.kind === Kind.NACK && envelope.payload.retry_after != null) {
      entry.due = now() + Math.max(0.01, envelope.payload.retry_after);
    } else if (envelope.kind === Kind.NACK && entry.accepted) {
      entry.due = now() + last(PROBES, entry.tries); // a resend did not get through; the first one may be in work
    } else {
      this.#settle(entry, "reject", new NervError(envelope.payload));
    }
  }

  #onUnwelcome(info) {
    if (!["fenced", "version", "forbidden"].includes(info.code)) return;
    this.link = "ended";
    for (const entry of [...this.pending.values()]) this.#settle(entry, "reject", new NervError(info));
  }

  // -- events ---------------------------------------------------------------------------------------------------

  // `onEvent({topic, type, payload, gap})`; `onAttached()` each time it takes force: at first, and after each restart of
  // the broker. Resolves when it is in force for the first time. `topic` is a whole topic, not a class.
  async subscribe(topic, onEvent, onAttached = () => {}) {
    const probe = `~probe.${this.name}.${this.#nextId()}`;
    this.topics.set(topic, { onEvent, numbers: new Map() });
    const attached = new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new NervError({ code: "disconnected", reason: `${topic} was not subscribed in time` })),
        SUBSCRIBED_WITHIN * 1000,
      );
      this.probes.set(probe, (error) => {
        clearTimeout(late);
        if (error) reject(new NervError(error));
        else resolve();
        if (!error) onAttached();
      });
    });
    this.events.subscribe(topic, probe);
    await attached;
  }

  async #readEvents() {
    for await (const [topicFrame, numbers, body] of this.events) {
      const topic = topicFrame.toString();
      const envelope = decodeEnvelope(body);
      if (this.probes.has(topic)) {
        this.probes.get(topic)(envelope.kind === Kind.ERROR ? envelope.payload : null);
        continue;
      }
      for (const [prefix, subscription] of this.topics) {
        if (!topic.startsWith(prefix)) continue;
        const stream = `${envelope.source} ${envelope.id.split("-")[0]} ${topic}`;
        const number = numbers.readBigUInt64BE(8);
        const before = subscription.numbers.get(stream);
        subscription.numbers.set(stream, number);
        const gap = before !== undefined && number > before + 1n;
        subscription.onEvent({ topic, type: envelope.type, payload: envelope.payload, gap });
      }
    }
  }

  async close() {
    if (this.link === "up") this.#sendLink(Kind.BYE, "link.bye", { reason: "done" });
    clearInterval(this.timer);
    await this.outbox;
    this.dealer.linger = 100; // so that BYE is still written
    this.dealer.close();
    this.events.close();
    await Promise.all(this.running);
  }
}
