// node ask.js PROVIDER PROMPT
// Submits a task, prints its reply while it grows, ends with it. Where the bus is: NERV_BUS (tcp://HOST:PORT, with the
// key file NERV_KEY_FILE), or else the folder NERV_RUNTIME. Progress goes to stderr as JSON lines, the reply to stdout.
import { readFileSync } from "node:fs";
import { Client } from "./nerv.js";

const FINAL = new Set(["DONE", "DEAD", "CANCELLED"]);
const POLL = 2000; // milliseconds: events are hints, `task.get` is the truth
const TASK_SECONDS = 300;

function place() {
  const bus = process.env.NERV_BUS;
  if (!bus) {
    const folder = process.env.NERV_RUNTIME;
    if (!folder) throw new Error("set NERV_BUS, or NERV_RUNTIME to the runtime folder of an instance");
    return [{ commands: `ipc://${folder}/bus.sock`, events: `ipc://${folder}/sub.sock` }, {}];
  }
  const [, host, port] = bus.match(/^tcp:\/\/(.+):(\d+)$/);
  const endpoints = { commands: bus, events: `tcp://${host}:${Number(port) + 2}` };
  const name = `node-${process.pid}`;
  if (!process.env.NERV_KEY_FILE) return [endpoints, { name: `loopback.${name}` }];
  const key = JSON.parse(readFileSync(process.env.NERV_KEY_FILE, "utf8"));
  return [endpoints, { name: `${key.name}.${name}`, key }];
}

const tell = (what, more = {}) => process.stderr.write(`${JSON.stringify({ what, ...more })}\n`);

// Deltas in order make the text; one out of order is not guessed over, but asked for (`reply.read`). Offsets count
// characters (code points), which are not JavaScript's units.
class Reply {
  constructor() {
    this.begin(0);
  }

  begin(attempt) {
    this.attempt = attempt;
    this.seq = 0;
    this.characters = [];
  }

  // Whether nothing is missing.
  apply(attempt, deltas) {
    if (attempt < this.attempt) return true;
    if (attempt > this.attempt) this.begin(attempt);
    for (const { seq, offset, text } of deltas) {
      if (seq <= this.seq) continue;
      if (seq !== this.seq + 1) return false;
      this.characters.length = offset;
      for (const character of text) this.characters.push(character);
      this.seq = seq;
    }
    return true;
  }

  get text() {
    return this.characters.join("");
  }
}

async function follow(client, id) {
  const reply = new Reply();
  let deltas = 0;
  let wake;
  let stale = true;
  const changed = () => {
    stale = true;
    wake?.();
  };
  await client.subscribe(`reply.${id}`, ({ payload, gap }) => {
    if (deltas === 0) tell("streaming");
    deltas += payload.deltas.length;
    if (gap || !reply.apply(payload.attempt, payload.deltas)) changed();
  }, changed);
  await client.subscribe(`task.${id}`, changed, changed);
  for (;;) {
    if (stale) {
      stale = false;
      const { task } = await client.request("queue", "task.get", { id });
      const view = await client.request("store", "reply.read", { task: id, attempt: 0, after: reply.seq });
      if (view.attempt > reply.attempt && reply.seq > 0) {
        reply.begin(view.attempt);
        stale = true; // what was read began after the seq of the attempt before
        continue;
      }
      reply.apply(view.attempt ?? 0, view.deltas ?? []);
      if (FINAL.has(task.state)) return { task, text: view.text ?? reply.text, streamed: reply.text, deltas };
    }
    await new Promise((resolve) => {
      const timer = setTimeout(changed, POLL);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (stale) wake();
    });
  }
}

const [provider, prompt] = process.argv.slice(2);
const client = new Client(...place());
try {
  const accepted = await client.request(
    "queue", "task.submit", { provider, prompt, timeout: TASK_SECONDS },
    { onAck: () => tell("acknowledged") },
  );
  tell("accepted", { id: accepted.id });
  const { task, text, streamed, deltas } = await follow(client, accepted.id);
  tell("ended", { state: task.state, deltas, whole: streamed === text, welcomes: client.welcomes });
  process.stdout.write(text);
  process.exitCode = task.state === "DONE" ? 0 : 1;
} catch (error) {
  if (!error.info) throw error;
  tell("failed", error.info);
  process.exitCode = 1;
} finally {
  await client.close();
}
