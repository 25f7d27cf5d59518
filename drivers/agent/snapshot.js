// One pass over the page: everything that could be an input or a control, with what scoring needs to know.

let picks = [];
nerv.pick = (index) => picks[index] || null;

const TEXT_INPUTS = new Set(["", "text", "search", "email", "url", "tel", "password", "number"]);

function labelOf(el) {
  const named = el.getAttribute("aria-labelledby");
  const by = named && el.getRootNode().getElementById ? el.getRootNode().getElementById(named.split(" ")[0]) : null;
  return (el.getAttribute("aria-label") || (by && by.textContent) || el.getAttribute("title") || "").trim().slice(0, 120);
}

function iconOf(el) {
  const svg = el.localName === "svg" ? el : findIn(el, "svg");
  if (svg) return "svg:" + hash([...svg.querySelectorAll("*")].map((e) =>
    e.localName + (e.getAttribute("d") || e.getAttribute("href") || e.getAttribute("points") || "")).join(";"));
  const img = findIn(el, "img");
  if (img) return "img:" + hash(img.src || "");
  const back = getComputedStyle(el).backgroundImage;
  return back && back !== "none" ? "bg:" + hash(back) : "";
}

function findIn(el, name) {
  let hit = null;
  eachElement(el, (e) => { if (!hit && e.localName === name) hit = e; return !hit; });
  return hit;
}

function attributesOf(el) {
  const out = {};
  for (const a of el.attributes)
    if (a.value.length <= 120 && !a.name.startsWith("on") && a.name !== "style" && a.name !== "value") out[a.name] = a.value;
  return out;
}

// The element and the hosts around it, innermost last; each with its nearest ancestors inside its own root.
function lineage(el) {
  const steps = [];
  for (let node = el; node; ) {
    const above = [];
    for (let p = node.parentElement; p && above.length < 6; p = p.parentElement)
      above.push({ tag: p.localName, attributes: attributesOf(p) });
    const root = node.getRootNode();
    const same = node.parentNode ? [...node.parentNode.children].filter((c) => c.localName === node.localName) : [];
    steps.unshift({ tag: node.localName, attributes: attributesOf(node), above, nth: same.indexOf(node) + 1, of: same.length });
    node = root.nodeType === 11 ? root.host : null;
  }
  return steps;
}
nerv.lineage = lineage;

function editableRoot(el) {
  if (!el.isContentEditable) return false;
  const parent = el.parentElement;
  return !parent || !parent.isContentEditable;
}

const disabledOf = (el) => Boolean(el.disabled || el.closest("fieldset[disabled]") ||
  el.getAttribute("aria-disabled") === "true" || el.readOnly);

function describe(el, kind) {
  const box = el.getBoundingClientRect();
  const shown = visible(el);
  const x = Math.min(Math.max(box.x + box.width / 2, 0), innerWidth - 1);
  const y = Math.min(Math.max(box.y + box.height / 2, 0), innerHeight - 1);
  const hit = shown ? hitAt(x, y) : null;
  const form = el.form || closestFlat(el, "form");
  picks.push(el);
  return {
    pick: picks.length - 1,
    kind,
    tag: el.localName,
    type: (el.getAttribute("type") || "").toLowerCase(),
    role: el.getAttribute("role") || "",
    label: labelOf(el),
    placeholder: el.getAttribute("placeholder") || el.getAttribute("data-placeholder") ||
      el.getAttribute("aria-placeholder") || (findIn(el, "p")?.getAttribute("data-placeholder") ?? "") || "",
    name: [el.getAttribute("name"), el.id, el.getAttribute("data-testid"), el.getAttribute("class")].filter(Boolean).join(" ").slice(0, 200),
    text: kind === "input" ? "" : textOf(el).slice(0, 80),
    icon: kind === "input" ? "" : iconOf(el),
    visible: shown,
    disabled: disabledOf(el),
    covered: Boolean(hit) && !contains(el, hit) && !contains(hit, el),
    editable: editableRoot(el),
    multiline: el.localName === "textarea" || editableRoot(el) || el.getAttribute("aria-multiline") === "true",
    submit: (el.getAttribute("type") || "").toLowerCase() === "submit" || (el.localName === "button" && Boolean(form) && !el.getAttribute("type")),
    form: form ? hash((form.id || "") + formIndex(form)) : "",
    form_password: Boolean(form && form.querySelector("input[type=password]")),
    searching: Boolean(closestFlat(el, "[role=search],search") || (form && /search/i.test(form.action || ""))),
    banner: Boolean(closestFlat(el, "nav,header,aside,[role=navigation],[role=banner],[role=complementary]")),
    dialog: Boolean(closestFlat(el, "dialog,[role=dialog],[role=alertdialog],[aria-modal=true]")),
    focused: deepActive() === el,
    maxlength: el.maxLength > 0 ? el.maxLength : 0,
    x: box.x, y: box.y, width: box.width, height: box.height,
  };
}

const forms = [];
function formIndex(form) {
  let i = forms.indexOf(form);
  if (i < 0) i = forms.push(form) - 1;
  return String(i);
}

nerv.snapshot = () => {
  picks = [];
  const inputs = [];
  const controls = [];
  if (!document.documentElement) return { inputs, controls, width: innerWidth, height: innerHeight, title: "", url: location.href, passwords: 0, text: 0 };
  eachElement(document, (el) => {
    const role = el.getAttribute("role");
    if (el.localName === "textarea" || (el.localName === "input" && TEXT_INPUTS.has((el.getAttribute("type") || "").toLowerCase()))
      || editableRoot(el)) {
      inputs.push(describe(el, "input"));
      return el.localName === "body";
    }
    if ((role === "textbox" || role === "combobox") && !shadowOf(el) && !el.querySelector("textarea,input,[contenteditable]")
      && el.localName !== "select" && el.localName !== "button") {
      inputs.push(describe(el, "input"));
      return true;
    }
    if (controlLike(el)) {
      controls.push(describe(el, "control"));
      return false;
    }
    return true;
  });
  return {
    inputs: inputs.slice(0, 80), controls: controls.slice(0, 400), width: innerWidth, height: innerHeight,
    title: document.title.slice(0, 200), url: location.href,
    passwords: inputs.filter((i) => i.type === "password" && i.visible).length,
    text: document.body ? document.body.textContent.length : 0,
  };
};
nerv.lineageOf = (index) => { const el = picks[index]; return el && el.isConnected ? lineage(el) : []; };
nerv.replyLineage = () => { const el = nerv.replyElement(); return el ? lineage(el) : []; };
