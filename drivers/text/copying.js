// Finds the controls that may copy a message. ask = {find: true} gives their number after marking them;
// {hook: true} listens for what is copied; {read: true} gives what was copied; {release: true} undoes it all.
async (root, ask) => {
  const KEY = "__nervCopy";
  const COPY = /copy|copied|clipboard|kopier|copier|copiar|copia|скопир|копир|复制|複製|拷贝|コピー|복사|kopyala|salin|sao chép|نسخ|העתק/i;
  const NOT = /code|link|url|share|prompt|address|markdown table|copyright|copilot|copywrit/i;
  const up = (el) => el.parentElement || (el.getRootNode() instanceof ShadowRoot ? el.getRootNode().host : null);
  const deep = (el, out) => {
    for (const kid of [...(el.shadowRoot ? el.shadowRoot.children : []), ...el.children]) { out.push(kid); deep(kid, out); }
    return out;
  };
  if (ask.find) {
    const hints = (el) => {
      const own = ["aria-label", "title", "data-testid", "data-test-id", "data-tooltip", "data-tooltip-content", "data-action", "name", "id", "class"]
        .map((name) => el.getAttribute(name) || "").join(" ");
      const inner = deep(el, []).slice(0, 12).map((k) => ["class", "data-icon", "data-lucide", "href", "xlink:href", "name", "icon", "aria-label"]
        .map((name) => k.getAttribute(name) || "").join(" ")).join(" ");
      const words = el.textContent.trim();
      return own + " " + inner + " " + (words.length < 30 ? words : "");
    };
    const inCode = (el) => {
      for (let at = el, n = 0; at && n < 5 && at !== root; at = up(at), n++) {
        if (/^(PRE|CODE)$/.test(at.tagName)) return true;
        if (at !== el && at.querySelector && at.querySelector("pre, code, .cm-editor, .monaco-editor")) {
          const code = at.querySelector("pre, .cm-editor, .monaco-editor, code");
          if (root.contains(at) && at.textContent.trim().length < code.textContent.length + 80) return true;
        }
      }
      return false;
    };
    const found = [];
    for (let at = root, level = 0; at && level < 6 && at !== document.body; at = up(at), level++) {
      for (const el of deep(at, [])) {
        const clickable = el.matches("button, [role=button], a, summary, [onclick], [tabindex]") || /copy/i.test(el.getAttribute("class") || "");
        if (!clickable || found.includes(el) || found.some((f) => f.contains(el) || el.contains(f))) continue;
        const said = hints(el);
        if (!COPY.test(said) || inCode(el)) continue;
        const label = [el.getAttribute("aria-label"), el.getAttribute("title"), el.textContent].join(" ");
        if (NOT.test(label)) continue;
        found.push(el);
      }
      if (found.length) break;
    }
    const here = root.getBoundingClientRect();
    const away = (el) => { const r = el.getBoundingClientRect(); return Math.abs(r.top - here.bottom) + (r.top < here.top - 40 ? 1e5 : 0); };
    found.sort((a, b) => away(a) - away(b));
    (globalThis[KEY] ??= {}).found = found.slice(0, 4);
    return globalThis[KEY].found.length;
  }
  if (ask.take !== undefined) return globalThis[KEY].found[ask.take];
  const state = globalThis[KEY] ??= {};
  if (ask.hook) {
    state.texts = [];
    state.undo = [];
    const clipboard = navigator.clipboard;
    const swap = (object, name, make) => {
      const own = Object.getOwnPropertyDescriptor(object, name);
      const made = make(object[name]);
      Object.defineProperty(object, name, {value: made, configurable: true, writable: true});
      state.undo.push(() => { if (own) Object.defineProperty(object, name, own); else delete object[name]; });
    };
    if (clipboard) {
      swap(clipboard, "writeText", () => async (text) => { state.texts.push(String(text)); });
      swap(clipboard, "write", () => async (items) => {
        for (const item of items) {
          for (const type of ["text/markdown", "text/plain"]) {
            if (item.types.includes(type)) { state.texts.push(await (await item.getType(type)).text()); break; }
          }
        }
      });
    }
    const heard = (event) => {
      const active = document.activeElement;
      const chosen = active && typeof active.value === "string" && active.selectionEnd > active.selectionStart
        ? active.value.slice(active.selectionStart, active.selectionEnd) : String(getSelection());
      const text = event.clipboardData.getData("text/plain") || chosen;
      if (text) state.texts.push(text);
      event.preventDefault();
    };
    window.addEventListener("copy", heard);
    state.undo.push(() => window.removeEventListener("copy", heard));
    return 0;
  }
  if (ask.read) return state.texts && state.texts.length ? state.texts[state.texts.length - 1].toWellFormed() : null;
  if (ask.release) {
    for (const undo of state.undo || []) undo();
    delete globalThis[KEY];
  }
  return null;
}
