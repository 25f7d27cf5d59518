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

// way: "field" (a field is written by the editing command; an editor is only made ready for the keyboard, since its
// own model may not hear of that command), "focus" (ready for the keyboard, no more), "page" (by the page's own means)
nerv.compose = async (locators, text, way, send) => {
  const hit = resolve(locators);
  if (!hit) return { state: "missing" };
  const el = hit.el;
  if (disabledOf(el)) return { state: "disabled" };
  if (way === "field") nerv.idle();
  focusInput(el);
  const editor = el.localName !== "textarea" && el.localName !== "input";
  const empty = !readInput(el).trim();
  if (editor && empty) {  // a caret is enough, and some editors mind a selection
    el.ownerDocument.getSelection().selectAllChildren(el);
    el.ownerDocument.getSelection().collapseToEnd();
  }
  if (way === "page" && !editor) setNative(el, text);
  else if (way === "page" || (way === "field" && !editor)) document.execCommand("insertText", false, text);
  else return { state: "done", index: hit.index, editor, empty, single: el.localName === "input" };
  return { state: "done", index: hit.index, editor, single: el.localName === "input", value: await taken(el, send) };
};

// What an input holds once the page has taken it in.
async function taken(el, send) {
  await frame();
  // A send control that wakes up tells so.
  for (let i = 0; i < 25 && send && send.length; i++) {
    const button = resolve(send);
    if (button ? !disabledOf(button.el) : i > 5) break;
    await frame();
  }
  return readInput(el);
}

nerv.composed = async (locators, send) => {
  const hit = resolve(locators);
  return hit ? taken(hit.el, send) : "";
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
