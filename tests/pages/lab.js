// What the pages of this folder share: transports and a Markdown renderer. How a page looks and behaves is its own.
export { toHtml } from "/markdown.js";
const here = location.pathname.replace(/c\/[^/]*$/, "");

export const make = (tag, name = "", text = "") => Object.assign(document.createElement(tag), { className: name, textContent: text });
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Calls show(text so far) as the reply grows.
export async function lines(path, body, take) {
  const answer = await fetch(here + path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part.trim()) take(part.replace(/^data: /, ""));
  }
}
export async function sse(prompt, show) {
  let text = "";
  await lines("sse", { prompt }, (line) => { if (line !== "[DONE]") show(text += JSON.parse(line).delta); });
  return text;
}
export const post = async (path, body) => (await fetch(here + path, { method: "POST", body: JSON.stringify(body) })).json();
export const get = async (path) => (await fetch(here + path)).json();
export const socket = (path) => new WebSocket(location.origin.replace("http", "ws") + here + path);
export const enter = (box, go) => box.addEventListener("keydown", (e) => { if (e.key === "Enter" && !e.shiftKey) { e.preventDefault(); go(); } });
