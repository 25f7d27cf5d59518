// Text into the input, and what the input holds.

function readInput(el) {
  if (el.localName === "textarea" || el.localName === "input") return el.value;
  const lines = [];
  const view = el.querySelectorAll(".cm-line");
  if (view.length) { for (const line of view) lines.push(line.textContent); return lines.join("\n"); }
  return textOf(el, (e) => e !== el && (e.getAttribute("contenteditable") === "false" || e.matches("[class*=placeholder]")))
    .replace(/\u200b|\ufeff/g, "");
}

function focusInput(el) {
  el.scrollIntoView({ block: "nearest", inline: "nearest" });
  el.focus({ preventScroll: true });
  if (el.localName === "textarea" || el.localName === "input") { el.select(); return; }
  const range = document.createRange();
  range.selectNodeContents(el);
  const selection = el.ownerDocument.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

function setNative(el, text) {
  const proto = el.localName === "textarea" ? HTMLTextAreaElement.prototype : HTMLInputElement.prototype;
  Object.getOwnPropertyDescriptor(proto, "value").set.call(el, text);
  el.dispatchEvent(new InputEvent("input", { bubbles: true, composed: true, inputType: "insertText", data: text }));
  el.dispatchEvent(new Event("change", { bubbles: true }));
}

// A page's own state follows its input one drawn frame later; a key pressed earlier finds it empty.
const frame = () => new Promise((done) => {
  const spare = setTimeout(done, 60);
  requestAnimationFrame(() => { clearTimeout(spare); setTimeout(done, 0); });
});

// way: "command" (the editing command: trusted events, all editors), "value" (setter and events), "focus" (select only)
nerv.compose = async (locators, text, way, send) => {
  const hit = resolve(locators);
  if (!hit) return { state: "missing" };
  const el = hit.el;
  if (disabledOf(el)) return { state: "disabled" };
  if (way === "command") nerv.idle();
  focusInput(el);
  const field = el.localName === "textarea" || el.localName === "input";
  const holds = readInput(el);
  if (way === "command") {
    if (!field && !holds.trim()) {  // an empty editor: a caret is enough, and some editors mind a selection
      el.ownerDocument.getSelection().selectAllChildren(el);
      el.ownerDocument.getSelection().collapseToEnd();
    }
    document.execCommand("insertText", false, text);
  } else if (way === "value" && field) setNative(el, text);
  else if (way === "focus" && holds) document.execCommand("delete");
  await frame();
  // A send control that wakes up tells that the page has taken the text in.
  for (let i = 0; i < 25 && send && send.length && way !== "focus"; i++) {
    const button = resolve(send);
    if (button ? !disabledOf(button.el) : i > 5) break;
    await frame();
  }
  return { state: "done", index: hit.index, single: el.localName === "input", value: readInput(el), focused: contains(el, deepActive()) };
};

nerv.readInput = (locators) => {
  const hit = resolve(locators);
  return hit ? { present: true, disabled: disabledOf(hit.el), value: readInput(hit.el) } : { present: false, disabled: false, value: "" };
};

// Where to click a control: the middle of what is drawn of it, if nothing lies over it.
nerv.target = (locators) => {
  const hit = resolve(locators);
  if (!hit) return { found: false, clear: false, x: 0, y: 0 };
  hit.el.scrollIntoView({ block: "nearest", inline: "nearest" });
  const box = hit.el.getBoundingClientRect();
  const x = box.x + box.width / 2;
  const y = box.y + box.height / 2;
  const over = hitAt(x, y);
  return { found: true, clear: Boolean(over) && contains(hit.el, over) && !disabledOf(hit.el), x, y };
};
