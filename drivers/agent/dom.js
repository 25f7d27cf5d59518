// The flattened tree: what is drawn, through open and closed shadow roots and slots.

const closedRoots = new WeakMap();
const rootWatchers = new Set();
{
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function attachShadow(init) {
    const root = attach.call(this, init);
    closedRoots.set(this, root);
    for (const watch of rootWatchers) watch(root);
    return root;
  };
}

const shadowOf = (el) => el.shadowRoot || closedRoots.get(el) || null;

function childrenOf(node) {
  if (node.nodeType === 1) {
    const root = shadowOf(node);
    if (root) return root.childNodes;
    if (node.localName === "slot") {
      const assigned = node.assignedNodes();
      if (assigned.length) return assigned;
    }
  }
  return node.childNodes;
}

function parentOf(node) {
  const parent = node.assignedSlot || node.parentNode;
  return parent && parent.nodeType === 11 ? parent.host || null : parent;
}

function contains(outer, inner) {
  for (let n = inner; n; n = parentOf(n)) if (n === outer) return true;
  return false;
}

function closestFlat(el, selector) {
  for (let n = el; n && n.nodeType === 1; n = parentOf(n)) if (n.matches(selector)) return n;
  return null;
}

const UNDRAWN = new Set(["script", "style", "noscript", "template", "head", "svg", "title", "meta", "link",
  "textarea", "input", "select", "option", "datalist", "iframe", "object", "video", "audio", "canvas"]);

// A box clipped to a point: text for screen readers, often a second copy of what is drawn beside it.
function clipped(el, style) {
  if (style.position !== "absolute" && style.position !== "fixed") return false;
  if (el.offsetWidth <= 1 && el.offsetHeight <= 1) return true;
  return style.clip === "rect(0px, 0px, 0px, 0px)" || /^inset\((50|100)%/.test(style.clipPath);
}

// Icon fonts draw words ("send", "smart_toy") as pictures: nobody reads them.
const iconFont = (style) => /material|icon|symbols|awesome|glyph/i.test(style.fontFamily.split(",", 1)[0]);

// What of an element's children is drawn: of a closed disclosure only its summary.
function drawnOf(node, style) {
  if (style.contentVisibility === "hidden") return [];
  const children = childrenOf(node);
  if (node.localName !== "details" || node.open) return children;
  return [...children].filter((child) => child.localName === "summary").slice(0, 1);
}

// Calls visit(textNode, parentElement) for each drawn, non-blank text node, in order.
function eachText(top, visit, skip) {
  const go = (node, drawn) => {
    if (node.nodeType === 3) {
      if (drawn && /\S/.test(node.data)) visit(node, parentOf(node));
      return;
    }
    let children = node.nodeType === 1 ? null : childrenOf(node);
    if (!children) {
      if (UNDRAWN.has(node.localName) || (skip && skip(node))) return;
      const style = getComputedStyle(node);
      if (style.display === "none" || clipped(node, style) || iconFont(style)) return;
      drawn = style.visibility === "visible";
      children = drawnOf(node, style);
    }
    for (const child of children) go(child, drawn);
  };
  go(top, true);
}

function eachElement(top, visit) {
  const go = (node) => {
    if (node.nodeType === 1 && visit(node) === false) return;
    for (const child of childrenOf(node)) if (child.nodeType === 1) go(child);
    // Light children that no slot shows are still in the document, and a page may move them into view.
  };
  for (const child of childrenOf(top)) if (child.nodeType === 1) go(child);
}

function visible(el) {
  if (!el.isConnected) return false;
  const box = el.getBoundingClientRect();
  if (box.width < 2 || box.height < 2) return false;
  const style = getComputedStyle(el);
  if (style.visibility !== "visible" || style.display === "none" || Number(style.opacity) === 0) return false;
  return el.checkVisibility ? el.checkVisibility() : true;
}

const BLOCKS = /^(block|flex|grid|list-item|table|table-row|flow-root|table-caption)$/;
const isButton = (el) => el.localName === "button" || el.getAttribute("role") === "button";

// What a reader sees of an element, with line breaks; words of small buttons outside running text are left out.
function textOf(top, skip) {
  let out = "";
  const line = () => { if (out && !out.endsWith("\n")) out += "\n"; };
  const go = (node, drawn, pre) => {
    if (node.nodeType === 3) {
      if (!drawn) return;
      if (pre) out += node.data;
      else {
        let data = node.data.replace(/[ \t\n\r\f]+/g, " ");
        if (!out || /\s$/.test(out)) data = data.replace(/^ /, "");
        out += data;
      }
      return;
    }
    if (node.nodeType !== 1) {
      for (const child of childrenOf(node)) go(child, drawn, pre);
      return;
    }
    if (node.localName === "br") { out += "\n"; return; }
    if (UNDRAWN.has(node.localName) || (skip && skip(node))) return;
    const style = getComputedStyle(node);
    if (style.display === "none" || clipped(node, style) || (iconFont(style) && node !== top)) return;
    if (isButton(node) && node !== top && node.textContent.length < 40 && !node.closest("p,li,td,th")) return;
    const block = BLOCKS.test(style.display);
    if (block) line();
    const space = style.whiteSpaceCollapse || style.whiteSpace;
    const inPre = /^(pre|preserve|break-spaces)/.test(space) && !/^(pre-line|preserve-breaks)/.test(space);
    for (const child of drawnOf(node, style)) go(child, style.visibility === "visible", inPre);
    if (style.display === "table-cell") out += "\t";
    if (block) line();
  };
  go(top, true, false);
  return out.replace(/[ \t]+\n/g, "\n").trim();
}

const wordsOf = (text) => text.normalize("NFKC").toLowerCase().match(/[\p{L}\p{N}]+/gu) || [];

function hash(text) {
  let h = 5381;
  for (let i = 0; i < text.length && i < 4000; i++) h = ((h * 33) ^ text.charCodeAt(i)) >>> 0;
  return h.toString(36);
}

function deepActive() {
  let el = document.activeElement;
  while (el) {
    const root = shadowOf(el);
    if (!root || !root.activeElement) break;
    el = root.activeElement;
  }
  return el;
}

function hitAt(x, y) {
  let el = document.elementFromPoint(x, y);
  while (el) {
    const root = shadowOf(el);
    const inner = root && root.elementFromPoint(x, y);
    if (!inner || inner === el) break;
    el = inner;
  }
  return el;
}
