// One exchange: which text is new, which of it is the prompt's turn, which is the reply, and what the controls do.

let exchange = null;

const OWN = (el) => exchange && exchange.inputs.has(el);
const IGNORED = (el) => OWN(el) || (el.isContentEditable && editableRoot(el));
// Words here are content, not the label of a turn.
const PROSE = "p,ul,ol,li,pre,table,blockquote,h1,h2,h3,h4,h5,h6,code";

nerv.idle = () => { nerv.idleControls = pageControls(() => false); return nerv.idleControls.length; };

nerv.begin = (options) => {
  nerv.end();
  const baseline = new Map();
  if (!options.history && document.body) eachText(document.body, (node) => baseline.set(node, node.data), (el) => el.isContentEditable && editableRoot(el));
  const hit = resolve(options.input);
  exchange = {
    id: options.id,
    prompt: options.prompt,
    words: wordsOf(options.prompt),
    history: Boolean(options.history),
    inputLocators: options.input,
    replyLocators: options.reply || [],
    stopLocators: options.stop || [],
    inputs: new Set(hit ? [hit.el] : []),
    baseline,
    users: [],
    reply: null,
    text: "",
    sent: "",
    changed: performance.now(),
    touched: performance.now(),
    cost: 1,
    timer: 0,
    last: "",
    idle: nerv.idleControls || [],
    minimum: options.interval || 25,
    alerts: new Set(alertTexts()),
  };
  const it = exchange;
  it.off = new Set();
  it.watcher = new MutationObserver((records) => {
    it.touched = performance.now();
    // What is disabled and enabled again between two looks would be missed; a callback runs after each task.
    for (const { type, target, attributeName } of records)
      if (type === "attributes" && (attributeName === "disabled" || attributeName === "aria-disabled") && disabledOf(target)) it.off.add(target);
    soon();
  });
  it.roots = allRoots();
  it.spinners = spinners(it);
  it.bystanders = new Map();
  it.gone = false;
  it.watch = (root) => it.watcher.observe(root, { subtree: true, childList: true, characterData: true, attributes: true,
    attributeFilter: ["class", "style", "hidden", "disabled", "aria-disabled", "aria-label", "title", "role", "aria-busy", "open"] });
  for (const root of it.roots) it.watch(root);
  it.attached = (root) => { it.watch(root); it.roots.push(root); };
  rootWatchers.add(it.attached);
  it.pulse = setInterval(soon, 200);
  soon();
  return { texts: baseline.size, controls: it.idle.length };
};

nerv.end = () => {
  if (!exchange) return false;
  exchange.watcher.disconnect();
  rootWatchers.delete(exchange.attached);
  clearInterval(exchange.pulse);
  clearTimeout(exchange.timer);
  exchange = null;
  return true;
};

nerv.replyElement = () => {
  if (exchange && exchange.reply && !exchange.reply.isConnected) look();  // drawn anew since the last look
  return exchange && exchange.reply && exchange.reply.isConnected ? exchange.reply : null;
};
nerv.words = () => (document.body ? wordsOf(textOf(document.body)) : []);
nerv.look = () => { if (exchange) look(); return Boolean(exchange); };

function soon() {
  if (!exchange || exchange.timer) return;
  const wait = Math.max(exchange.minimum, exchange.cost * 4);
  exchange.timer = setTimeout(() => { if (exchange) { exchange.timer = 0; look(); } }, wait);
}

// What turns for ever: spinners, dots that wave, a caret that blinks.
function spinners(it) {
  let count = 0;
  for (const root of it.roots)
    for (const moving of root.getAnimations ? root.getAnimations() : [])
      if (moving.playState === "running" && moving.effect && moving.effect.getComputedTiming().iterations === Infinity
        && !(moving.effect.target && !visible(moving.effect.target))) count++;
  return count;
}

// A short text beside a growing reply that was taken away afterwards ("Ada is typing").
function indicatorGone(it, fresh, reply) {
  const texts = new Set(fresh.map(({ node }) => node.data.trim()));
  for (const [node, data] of it.bystanders) if (!node.isConnected && !texts.has(data)) it.gone = true;
  for (const { node } of fresh) {
    const data = node.data.trim();
    if (data.length < 80 && !contains(reply, node) && !it.users.some((u) => contains(u, node))) it.bystanders.set(node, data);
  }
  return it.gone;
}

// Structure, not words: how the page's own style sheet calls a failure.
const FAILING = /(^|[-_ ])(error|danger|destructive|critical|fail(ed|ure)?)([-_ ]|$)/i;

function alertTexts() {
  const list = [];
  if (document.body)
    eachElement(document.body, (el) => {
      const role = el.getAttribute("role");
      if ((role === "alert" || role === "alertdialog" || role === "dialog" || (el.localName === "dialog" && el.open)) && visible(el)
        && !(exchange && exchange.reply && (contains(el, exchange.reply) || contains(exchange.reply, el)))
        && !(exchange && [...exchange.inputs].some((input) => contains(el, input)))) {
        const text = textOf(el).slice(0, 300);
        const loud = FAILING.test(el.getAttribute("class") || "") || [...el.querySelectorAll("[class]")].some((e) => FAILING.test(e.getAttribute("class") || ""));
        if (text) list.push((role || "dialog") + (loud ? "!" : "") + "\n" + text);
        return false;
      }
      return true;
    });
  return list;
}

// New: not there at the start, nor a text of the start that was drawn again elsewhere.
function newTexts(it) {
  const now = [];
  eachText(document.body, (node, parent) => now.push({ node, parent }), IGNORED);
  if (it.history) return now;
  const kept = new Set();
  const fresh = [];
  for (const item of now) {
    if (it.baseline.get(item.node) === item.node.data) kept.add(item.node);
    else fresh.push(item);
  }
  const gone = new Map();
  for (const [node, data] of it.baseline) {
    if (kept.has(node) || node.isConnected && node.data === data) continue;
    gone.set(data.trim(), (gone.get(data.trim()) || 0) + 1);
  }
  return gone.size === 0 ? fresh : fresh.filter(({ node }) => {
    const key = node.data.trim();
    const left = gone.get(key) || 0;
    if (left) gone.set(key, left - 1);
    return !left;
  });
}

const sameWords = (a, b) => a.length === b.length && a.every((w, i) => w === b[i]);

function holdsPrompt(it, text) {
  if (!it.words.length) return text.trim() === it.prompt.trim();
  const words = wordsOf(text);
  if (words.length < it.words.length || words.length > it.words.length + 8) return false;
  for (let at = 0; at + it.words.length <= words.length; at++)
    if (sameWords(words.slice(at, at + it.words.length), it.words)) return true;
  return false;
}

function findUsers(it, fresh) {
  const users = [];
  const first = it.words[0];
  const tried = new Set();
  for (const { node, parent } of fresh) {
    if (users.length >= 12) users.shift();
    if (first !== undefined) {
      const words = wordsOf(node.data);
      if (!words.length || !words.includes(first)) continue;
    }
    let el = parent;
    let size = wordsOf(textOf(el)).length;
    while (el && size < it.words.length && parentOf(el) && el.localName !== "body") {
      el = parentOf(el);
      if (el.nodeType !== 1) break;
      size = wordsOf(textOf(el)).length;
    }
    if (!el || el.nodeType !== 1 || tried.has(el)) continue;
    tried.add(el);
    if (el.localName !== "body" && holdsPrompt(it, textOf(el))) users.push(el);
  }
  // The title of a conversation in a list is often its prompt; a turn is never a link.
  const turns = users.filter((u) => !closestFlat(u, "a[href],nav,[role=navigation],title,button"));
  it.titles = users.filter((u) => !turns.includes(u));
  return turns;
}

function findReply(it, fresh) {
  if (it.adopted && it.adopted.isConnected) return it.adopted;
  const cached = it.users.filter((u) => u.isConnected && holdsPrompt(it, textOf(u)));
  it.users = cached.length && !it.history ? cached : findUsers(it, fresh);
  if (!it.users.length && cached.length) it.users = cached;
  const sizes = new Map();
  for (const { node, parent } of fresh) {
    // Lists of conversations fill late; a link in a reply is missed by no one here, where sizes are compared.
    if (closestFlat(parent, "nav,a[href],[role=navigation]") && !closestFlat(parent, "p,li p,td,pre")) continue;
    const size = node.data.trim().length;
    for (let n = parentOf(node); n; n = parentOf(n)) sizes.set(n, (sizes.get(n) || 0) + size);
  }
  const tainted = new Set();
  for (const u of [...it.users, ...(it.titles || [])]) for (let n = u; n; n = parentOf(n)) tainted.add(n);

  if (it.replyLocators.length) {  // learned: the newest element of that kind with new text, after the prompt if it shows
    for (const locator of it.replyLocators) {
      let hits = matches(locator).filter((el) => sizes.get(el) && !tainted.has(el) && !it.users.some((u) => contains(el, u) || contains(u, el)) && visible(el));
      hits = hits.filter((el) => !hits.some((other) => other !== el && contains(other, el)));
      if (!hits.length) continue;
      const user = it.users[it.users.length - 1];
      if (user) {
        const after = hits.filter((el) => user.compareDocumentPosition(el) & Node.DOCUMENT_POSITION_FOLLOWING);
        if (after.length) return it.history ? after[0] : after[after.length - 1];
      }
      if (it.history && !user) continue;
      return hits[hits.length - 1];
    }
  }

  let best = null;
  const users = it.history ? it.users.slice(-3) : it.users;
  for (const user of users) {
    let distance = 0;
    let inner = user;
    for (let outer = parentOf(user); outer && outer.nodeType === 1; inner = outer, outer = parentOf(outer)) {
      distance++;
      for (const branch of childrenOf(outer)) {
        if (branch.nodeType !== 1 || branch === inner || tainted.has(branch)) continue;
        const size = sizes.get(branch) || 0;
        if (!size || !wordsOf(textOf(branch)).length) continue;
        const follows = Boolean(inner.compareDocumentPosition(branch) & Node.DOCUMENT_POSITION_FOLLOWING);
        if (it.history && !follows) continue;
        let score = Math.min(size, it.history ? 60 : 2000) / (1 + 0.4 * distance);
        if (follows) score *= 1.5;
        if (branch.matches("nav,aside,header,footer,[role=navigation],[role=alert],[role=dialog],[role=alertdialog],form")) score *= 0.1;
        if (closestFlat(user, "nav,aside,[role=navigation],[role=complementary],[role=tooltip]")) score *= 0.2;
        if (!best || score > best.score) best = { el: branch, score };
      }
    }
  }
  if (best) return tighten(best.el, sizes);
  if (it.users.length || it.history) return null;

  // The page does not show the prompt: go down from the top to the box that holds nearly all that is new.
  let el = document.body;
  const total = sizes.get(el) || 0;
  if (!total) return null;
  for (let next = el; next; ) {
    el = next;
    next = null;
    for (const child of childrenOf(el))
      if (child.nodeType === 1 && (sizes.get(child) || 0) >= 0.8 * total && !child.matches(PROSE + ",nav,aside,[role=navigation],[role=complementary]")) next = child;
  }
  if (el === document.body) return null;
  const text = wordsOf(textOf(el));
  return text.length && !sameWords(text, it.words.slice(0, text.length)) ? tighten(el, sizes) : null;
}

// From a turn down to its words: past wrappers whose other children hold only a short label, a time or a name.
function tighten(top, sizes) {
  let el = top;
  for (;;) {
    const parts = [...childrenOf(el)].filter((c) => c.nodeType === 1 ? sizes.get(c) : c.nodeType === 3 && /\S/.test(c.data));
    if (!parts.length || parts.some((p) => p.nodeType === 3)) return el;
    const big = parts.reduce((a, b) => ((sizes.get(b) || 0) > (sizes.get(a) || 0) ? b : a));
    if (big.matches(PROSE) || getComputedStyle(big).display.startsWith("inline")) return el;
    const rest = parts.filter((p) => p !== big);
    const size = rest.reduce((sum, p) => sum + sizes.get(p), 0);
    if (size > 60 || size > 0.5 * (sizes.get(big) || 0) || rest.some((p) => p.matches(PROSE) || p.querySelector(PROSE))) return el;
    el = big;
  }
}

function look() {
  const it = exchange;
  if (!it || !document.body) return;
  const began = performance.now();
  const live = resolve(it.inputLocators);
  if (live) it.inputs.add(live.el);
  const fresh = newTexts(it);
  const reply = findReply(it, fresh);
  it.reply = reply;
  const text = reply ? textOf(reply).toWellFormed() : "";
  if (text !== it.text) { it.text = text; it.changed = performance.now(); }
  const inside = (el) => (reply && contains(el, reply) && el.localName !== "body" && turnOf(el, it)) || it.users.includes(el) || el === reply;
  const controls = diff(it.idle, pageControls(inside));
  let offset = 0;
  const limit = Math.min(it.sent.length, text.length);
  while (offset < limit && it.sent.charCodeAt(offset) === text.charCodeAt(offset)) offset++;
  if (offset > 0 && offset < text.length && (text.charCodeAt(offset) & 0xfc00) === 0xdc00) offset--;
  const alerts = alertTexts().filter((a) => !it.alerts.has(a));
  const state = {
    id: it.id,
    user: it.users.length > 0,
    reply: Boolean(reply),
    reply_controls: reply ? replyControls(reply, it).filter((el) => !contains(reply, el)).map(signature) : [],
    inner_controls: reply ? replyControls(reply, it).filter((el) => contains(reply, el)).length : 0,
    rewritten: offset < it.sent.length,
    offset, text: text.slice(offset),  // never between two halves of a character, see above
    added: controls.added, removed: controls.removed,
    input_flicked: [...it.off].some((el) => it.inputs.has(el) && el.isConnected && !disabledOf(el)),
    control_flicked: [...it.off].some((el) => !it.inputs.has(el) && el.isConnected && !disabledOf(el) && visible(el)),
    input: live ? { present: true, disabled: disabledOf(live.el), value: readInput(live.el).slice(0, 200000) } : { present: false, disabled: false, value: "" },
    busy: it.stopLocators.some((stop) => matches(stop).some((el) => visible(el) && !disabledOf(el))) || Boolean(reply && (closestFlat(reply, "[aria-busy=true]") || reply.querySelector("[aria-busy=true]"))),
    fresh: fresh.length, loaded: document.readyState === "complete",
    spinning: spinners(it) > it.spinners,
    indicator_gone: reply && text.trim() ? indicatorGone(it, fresh, reply) : false,
    alerts, url: location.href, passwords: document.querySelectorAll("input[type=password]").length,
  };
  const key = JSON.stringify(state);
  it.cost = performance.now() - began;
  if (key === it.last && offset === it.sent.length && text.length === offset) return;
  it.last = key;
  it.sent = text;
  state.quiet = performance.now() - it.changed;
  if (window.__nerv_emit) window.__nerv_emit(JSON.stringify(state));
}

// The box of one turn around the reply: as far up as no prompt and no input is inside.
function turnOf(el, it) {
  return !it.users.some((u) => contains(el, u)) && ![...it.inputs].some((i) => contains(el, i)) && it.users.length > 0;
}

function replyControls(reply, it) {
  let top = reply;
  for (let n = parentOf(reply); n && n.nodeType === 1 && n.localName !== "body" && turnOf(n, it); n = parentOf(n)) top = n;
  const list = [];
  eachElement(top, (el) => {
    if (el.matches("pre,code")) return false;
    if (controlLike(el)) { if (visible(el) && !closestFlat(el, "pre,li,p,table")) list.push(el); return false; }
    return true;
  });
  return list.slice(0, 30);
}

function diff(before, after) {
  const count = new Map();
  for (const s of before) count.set(s, (count.get(s) || 0) + 1);
  const added = [];
  for (const s of after) {
    const left = count.get(s) || 0;
    if (left) count.set(s, left - 1);
    else added.push(s);
  }
  const removed = [...count].flatMap(([s, n]) => Array(n).fill(s));
  return { added: added.slice(0, 30), removed: removed.slice(0, 30) };
}

// The elements behind the prompt's turn that hold new text, each only where its text is not all of its parent's.
const MAX_PARTS = 40, MAX_PART_CHARS = 400000;
let parts = [];
nerv.parts = () => {
  const it = exchange;
  parts = [];
  if (!it) return [];
  const sizes = new Map();
  const user = it.users[it.users.length - 1];
  if (it.history && !user) return [];
  for (const { node, parent } of newTexts(it)) {
    if (closestFlat(parent, "nav,aside,[role=navigation]") || it.users.some((u) => contains(u, node))) continue;
    if (user && !(user.compareDocumentPosition(parent) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
    for (let n = parent; n && n.nodeType === 1; n = parentOf(n)) sizes.set(n, (sizes.get(n) || 0) + node.data.trim().length);
  }
  const mixed = new Set();
  for (const el of [...it.users, ...it.inputs]) for (let n = el; n; n = parentOf(n)) mixed.add(n);
  const whole = [...sizes].filter(([el, size]) => !mixed.has(el) && el.localName !== "body" && el.localName !== "html"
    && (mixed.has(parentOf(el)) || sizes.get(parentOf(el)) !== size) && visible(el));
  whole.sort((a, b) => b[1] - a[1]);
  const found = [];
  let chars = 0;
  for (const [el] of whole.slice(0, MAX_PARTS)) {
    const text = textOf(el).toWellFormed();
    chars += text.length;
    if (chars > MAX_PART_CHARS) break;
    found.push({ el, text });
  }
  found.sort((a, b) => (a.el.compareDocumentPosition(b.el) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
  parts = found.map(({ el }) => el);
  return found.map(({ text }) => text);
};
// From now on the reply is this one of the parts.
nerv.adopt = (index) => {
  if (!exchange || !parts[index] || !parts[index].isConnected) return false;
  exchange.adopted = parts[index];
  look();
  return true;
};

// A link of the page's own list of conversations whose text is the beginning of the prompt.
nerv.historyLink = (prompt) => {
  const words = wordsOf(prompt).join(" ");
  let hit = null;
  eachElement(document, (el) => {
    if (hit) return false;
    if (!el.matches("a[href],[role=link],nav button,aside button,nav [role=button],aside [role=button],nav li,aside li")) return true;
    if (!visible(el)) return true;
    const text = wordsOf(textOf(el).replace(/(\.\.\.|…)\s*$/, "")).join(" ");
    if (text.length >= Math.min(10, words.length) && text.length > 0 && (words.startsWith(text) || text.startsWith(words))) hit = el;
    return !hit;
  });
  return hit;
};
// How many conversations the page lists.
nerv.historyCount = () => {
  let count = 0;
  eachElement(document, (el) => {
    if (el.matches("nav a[href],aside a[href],[role=navigation] a[href],[role=complementary] a[href]") && visible(el)
      && new URL(el.href, location.href).origin === location.origin && textOf(el)) count++;
    return true;
  });
  return count;
};
// Which of these kinds name the reply itself, and neither the prompt's turn nor anything around both.
nerv.replyFits = (locators) => {
  const reply = nerv.replyElement();
  return locators.map((locator) => {
    const hits = matches(locator);
    if (hits.filter((el) => !hits.some((other) => other !== el && contains(other, el))).at(-1) !== reply) return false;
    return Boolean(reply) && hits.includes(reply) && !hits.some((el) => el !== reply && (contains(el, reply) || contains(reply, el)))
      && !exchange.users.some((u) => hits.some((el) => contains(el, u) || contains(u, el)));
  });
};
