// The page around the chat: with `crossframe` the frame comes from another site, "localhost" beside "127.0.0.1".
const config = JSON.parse(document.getElementById("config").textContent);
const frame = document.createElement("iframe");
const cross = config.ui.includes("crossframe");
const other = location.hostname === "localhost" ? "127.0.0.1" : "localhost";
const origin = cross ? `${location.protocol}//${other}:${location.port}` : location.origin;
const place = config.conversation ? `/frame/c/${config.conversation}` : "/frame";
frame.title = "Chat";
frame.allow = "clipboard-write";
frame.src = `${origin}${place}${location.search}`;
document.body.append(frame);

addEventListener("message", (event) => {
  if (event.source !== frame.contentWindow || event.origin !== origin) return;
  if (event.data.go) location.assign(event.data.go);
  if (!event.data.address) return;
  history.pushState(null, "", event.data.address);
  document.title = event.data.title;
});
addEventListener("popstate", () => location.reload());
