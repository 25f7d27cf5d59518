// What is on the page: the sidebar, the thread of messages, dialogs. With `shadow`, the thread and the composer
// stand in open shadow roots inside another one, and each message in its own.
import { toHtml } from "./markdown.js";

// A linked style sheet in each root would arrive after its text.
const sheet = new CSSStyleSheet();
sheet.replaceSync(await (await fetch("/static/chat.css")).text());

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function room(parent, name, shadow) {
  const host = element(shadow ? `nerv-${name}` : "div", name);
  parent.append(host);
  if (!shadow) return host;
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [sheet];
  const inside = element("div", name);
  root.append(inside);
  return inside;
}

export function makeView(config, variant) {
  const shadow = config.ui.includes("shadow"), app = document.getElementById("app");
  app.replaceChildren();
  const sidebar = element("aside", "sidebar");
  const fresh = element("a", "new-chat", "New chat");
  fresh.href = variant;
  const list = document.createElement("nav");
  list.setAttribute("aria-label", "Conversations");
  sidebar.append(element("strong", "brand", "Playground"), fresh, list);
  const main = document.createElement("main");
  app.append(sidebar, main);
  const chat = room(main, "chat", shadow);
  const thread = room(chat, "thread", shadow);
  const welcome = element("p", "welcome", "What shall we look into?");
  thread.append(welcome);
  const foot = room(chat, "foot", shadow);

  function message(role) {
    welcome.remove();
    const body = element("div", "body");
    const bubble = room(thread, `message ${role}`.split(" ")[0], shadow);
    bubble.classList.add(role);
    bubble.dataset.role = role;
    bubble.append(body);
    return { bubble, body };
  }
  function down() {
    const frame = shadow ? thread.getRootNode().host : thread;
    frame.scrollTop = frame.scrollHeight;
    thread.scrollTop = thread.scrollHeight;
  }
  return {
    foot,
    titles(conversations, current) {
      list.replaceChildren(...conversations.map((conversation) => {
        const link = element("a", conversation.id === current ? "current" : "", conversation.title);
        link.href = conversation.address;
        return link;
      }));
    },
    onLeave(go) {
      sidebar.addEventListener("click", (event) => {
        const link = event.target.closest("a");
        if (link) { event.preventDefault(); go(link.getAttribute("href")); }
      });
    },
    user(text) {
      message("user").body.textContent = text;
      down();
    },
    assistant() {
      const { bubble, body } = message("assistant");
      body.classList.add("markdown", "thinking");
      body.addEventListener("click", (event) => {
        if (!event.target.matches(".copy-code")) return;
        navigator.clipboard.writeText(event.target.closest(".code").querySelector("code").textContent);
        event.target.textContent = "Copied";
      });
      return {
        html(html) { body.classList.remove("thinking"); body.innerHTML = html; down(); },
        text(markdown) { this.html(toHtml(markdown)); },
        finish(copy) {
          body.classList.remove("thinking");
          if (!copy || config.ui.includes("nocopy")) return;
          const actions = element("div", "actions"), button = element("button", "copy", "Copy");
          button.type = "button";
          button.setAttribute("aria-label", "Copy message");
          button.addEventListener("click", async () => {
            await navigator.clipboard.writeText(await copy());
            button.textContent = "Copied";
          });
          actions.append(button);
          bubble.append(actions);
          down();
        },
        alert(text) {
          const note = element("p", "lost", text);
          note.setAttribute("role", "alert");
          bubble.append(note);
        },
      };
    },
    dialog(title, text) {
      const cover = element("div", "cover"), box = element("div", "dialog");
      box.setAttribute("role", "alertdialog");
      box.setAttribute("aria-modal", "true");
      box.setAttribute("aria-label", title);
      const close = element("button", "dismiss", "Dismiss");
      close.type = "button";
      close.addEventListener("click", () => cover.remove());
      box.append(element("h2", "", title), element("p", "", text), close);
      cover.append(box);
      chat.append(cover);
    },
  };
}
