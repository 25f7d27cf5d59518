// One function to send and one to follow, whatever the transport: both yield the same events
// {type: start | delta | replace | html | end | error | refused}.
const POLL_MS = 250;
const REPLACE = "\x1e";

export class Refusal extends Error {
  constructor(code, reason) { super(reason); this.code = code; }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function checked(response) {
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ reason: response.statusText }));
  throw new Refusal(response.status, problem.reason);
}

export async function* send(request) {
  const via = request.via;
  if (via === "ws") return yield* overSocket({ type: "send", request });
  const response = await checked(await fetch("/api/send", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request),
  }));
  if (via === "chunked") {
    const argument = response.headers.get("X-Argument");
    yield {
      type: "start", conversation: request.conversation, half: Number(response.headers.get("X-Half")),
      page_fault: response.headers.get("X-Page-Fault"), argument: argument ? Number(argument) : null,
    };
  }
  if (via in READERS) return yield* READERS[via](response);
  const start = await response.json();
  yield start;
  yield* follow(via, start.conversation, 0, 0);
}

export async function* follow(via, id, revision, offset) {
  const base = `/api/conversations/${id}`, place = `revision=${revision}&offset=${offset}`;
  if (via === "ws") yield* overSocket({ type: "resume", conversation: id, revision, offset });
  else if (via === "eventsource") yield* overEventSource(`${base}/stream?via=eventsource&${place}`);
  else if (via === "poll") yield* byPolling(base, revision, offset);
  else if (via === "dom") yield* byHtml(base);
  else yield* READERS[via](await checked(await fetch(`${base}/stream?via=${via}&${place}`)));
}

export async function stop(id) {
  await checked(await fetch(`/api/conversations/${id}/stop`, { method: "POST" }));
}

async function* pieces(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

async function* records(response, separator) {
  let rest = "";
  for await (const piece of pieces(response)) {
    const parts = (rest + piece).split(separator);
    rest = parts.pop();
    yield* parts;
  }
}

const READERS = {
  async *sse(response) {
    for await (const record of records(response, "\n\n"))
      if (record.startsWith("data: ")) yield JSON.parse(record.slice(6));
  },
  async *ndjson(response) {
    for await (const line of records(response, "\n")) yield JSON.parse(line);
  },
  async *chunked(response) {
    for await (const piece of pieces(response)) {
      const parts = piece.split(REPLACE);
      if (parts[0]) yield { type: "delta", text: parts[0] };
      if (parts.length > 1) yield { type: "replace", text: parts.at(-1) };
    }
    yield { type: "end" };
  },
};

// A queue that callbacks fill and a generator empties.
function mailbox() {
  const items = [];
  let wake = () => {};
  return {
    put(item) { items.push(item); wake(); },
    async *read() {
      for (;;) {
        while (!items.length) await new Promise((resolve) => { wake = resolve; });
        const item = items.shift();
        if (item instanceof Error) throw item;
        yield item;
        if (item.type === "end" || item.type === "error") return;
      }
    },
  };
}

async function* overEventSource(url) {
  const box = mailbox(), source = new EventSource(url);
  source.onmessage = (event) => box.put(JSON.parse(event.data));
  source.onerror = () => box.put(new Error("connection lost"));
  try { yield* box.read(); } finally { source.close(); }
}

let socket = null;

function connected() {
  if (socket && socket.readyState <= WebSocket.OPEN) return socket;
  socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/ws`);
  return socket;
}

async function* overSocket(message) {
  const box = mailbox(), ws = connected();
  ws.onmessage = (event) => {
    const item = JSON.parse(event.data);
    box.put(item.type === "refused" ? new Refusal(item.code, item.reason) : item);
  };
  ws.onclose = () => box.put(new Error("connection lost"));
  const text = JSON.stringify(message);
  if (ws.readyState === WebSocket.OPEN) ws.send(text);
  else ws.onopen = () => ws.send(text);
  yield* box.read();
}

async function* byPolling(base, revision, offset) {
  for (;;) {
    const response = await checked(await fetch(`${base}/poll?revision=${revision}&offset=${offset}`));
    const update = await response.json();
    if (update.replaces) yield { type: "replace", text: update.text };
    else if (update.text) yield { type: "delta", text: update.text };
    ({ revision, offset } = update);
    if (update.phase === "failed") return yield { type: "error", message: update.error };
    if (update.phase !== "generating") return yield { type: "end", phase: update.phase };
    await pause(POLL_MS);
  }
}

async function* byHtml(base) {
  for (;;) {
    const response = await checked(await fetch(`${base}/html`));
    yield { type: "html", html: await response.text(), length: Number(response.headers.get("X-Length")) };
    const phase = response.headers.get("X-Phase");
    if (phase === "failed") return yield { type: "error", message: "The model stopped unexpectedly." };
    if (phase !== "generating") return yield { type: "end", phase };
    await pause(POLL_MS);
  }
}
