// The chat: sends prompts, shows replies as they come, keeps the address, and suffers the faults it is told to.
import { makeComposer } from "./composer.js";
import { Refusal, follow, send, stop } from "./transports.js";
import { makeView } from "./view.js";

const TYPEWRITER_CHARACTERS_PER_SECOND = 400;
const TYPEWRITER_TICK_MS = 50;

const config = JSON.parse(document.getElementById("config").textContent);
const query = new URLSearchParams();
if (config.ui.length) query.set("ui", config.ui.join(","));
if (config.via !== "sse") query.set("via", config.via);
const variant = query.size ? `/?${query}` : "/";
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let conversation = config.conversation;
let turns = 0;
let view, composer;

function goTo(address) {
  if (config.framed) parent.postMessage({ go: address }, "*");
  else location.assign(address);
}

function remember(address, title) {
  document.title = title;
  if (config.framed) parent.postMessage({ address, title }, "*");
  else history.pushState(null, "", address);
}

async function refreshTitles() {
  const response = await fetch("/api/conversations");
  if (response.ok) view.titles(await response.json(), conversation);
}

function freeze() {
  for (;;);
}

function crash() {
  // More pieces than an array can hold: V8 treats that as fatal, which ends the renderer, not only the script.
  "x".repeat(2 ** 28).split("");
}

// Shows `text` so far, no faster than the typewriter types; ends when all of `whole()` is shown.
async function typeOut(message, whole, finished, rate) {
  const began = performance.now();
  for (;;) {
    const text = whole(), shown = Math.floor(((performance.now() - began) / 1000) * rate);
    message.text(text.slice(0, shown));
    if (finished() && shown >= text.length) return;
    await pause(TYPEWRITER_TICK_MS);
  }
}

async function show(events, begun) {
  const message = view.assistant();
  let text = begun, html = false, ended = false, half = Infinity, fault = "", typing = null, failure = "";
  if (text) message.text(text);
  composer.busy(true);
  try {
    for await (const event of events) {
      if (event.type === "start") {
        ({ half, page_fault: fault } = event);
        if (fault === "typewriter")
          typing = typeOut(message, () => text, () => ended, event.argument || TYPEWRITER_CHARACTERS_PER_SECOND);
      } else if (event.type === "html") {
        html = true;
        message.html(event.html);
      } else if (event.type === "error") failure = event.message;
      else if (event.type !== "end") {
        text = event.type === "replace" ? event.text : text + event.text;
        if (!typing) message.text(text);
      }
      if ((event.length ?? text.length) >= half) {
        await pause(0);
        if (fault === "hang") freeze();
        if (fault === "crash") crash();
      }
    }
    ended = true;
    await typing;
  } catch (error) {
    ended = true;
    if (error instanceof Refusal) throw error;
    const state = await (await fetch(`/api/conversations/${conversation}`)).json().catch(() => null);
    failure = state?.turns.at(-1).error ?? "";
    if (!failure) message.alert("The connection was lost. Reload the page to see the reply.");
  } finally {
    composer.busy(false);
  }
  const number = turns - 1;
  const markdown = async () =>
    html ? (await fetch(`/api/conversations/${conversation}/turns/${number}/markdown`)).text() : text;
  message.finish(markdown);
  if (failure) view.dialog("Something went wrong", failure);
}

function explain(refusal) {
  const here = encodeURIComponent(config.conversation ? `/c/${config.conversation}` : variant);
  if (refusal.code === 401) goTo(`/login?next=${here}`);
  else if (refusal.code === 403) goTo(`/challenge?next=${here}`);
  else view.dialog(refusal.code === 429 ? "Slow down" : "Not sent", refusal.message);
}

async function* noticing(events, prompt) {
  for await (const event of events) {
    if (event.type === "start") {
      turns += 1;
      if (!config.conversation) {
        config.conversation = conversation;
        remember(`/c/${conversation}`, prompt.slice(0, 60));
      }
      await refreshTitles();
    }
    yield event;
  }
}

async function ask(prompt) {
  conversation ||= crypto.randomUUID();
  const request = { prompt, conversation, via: config.via, ui: config.ui.join(","), fault: config.fault };
  view.user(prompt);
  try {
    await show(noticing(send(request), prompt), "");
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    explain(error);
  }
}

async function restore() {
  const response = await fetch(`/api/conversations/${conversation}?via=${config.via}`);
  const { turns: history, title } = await response.json();
  document.title = title;
  turns = history.length;
  history.forEach((turn, number) => {
    view.user(turn.prompt);
    if (turn.phase === "generating") {
      const begun = config.via === "dom" ? "" : turn.text;
      show(follow(config.via, conversation, turn.revision, config.via === "dom" ? 0 : turn.offset), begun);
      return;
    }
    const message = view.assistant();
    if (config.via === "dom") message.html(turn.text);
    else message.text(turn.text);
    const address = `/api/conversations/${conversation}/turns/${number}/markdown`;
    message.finish(async () => (config.via === "dom" ? (await fetch(address)).text() : turn.text));
  });
}

async function start() {
  if (config.hydrate) {
    document.getElementById("shell").hidden = config.absent;
    await pause(config.hydrate * 1000);
  }
  view = makeView(config, variant);
  view.onLeave(goTo);
  composer = makeComposer({
    editable: config.ui.includes("contenteditable"),
    onSend: ask,
    onStop: () => stop(conversation),
  });
  // History first: a prompt sent before it stands would be shown twice.
  if (conversation) await restore();
  view.foot.append(composer.form);
  composer.focus();
  await refreshTitles();
  addEventListener("popstate", () => location.reload());
}

start();
