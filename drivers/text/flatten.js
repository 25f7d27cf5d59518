// The reply's DOM as plain HTML: shadow roots and slots opened, controls and duplicates dropped, what is only
// style turned into tags. Gives {html, text, verbatim}; text is what a reader sees, blocks on lines of their own;
// verbatim: there is nothing but that text, its blanks kept.
(root) => {
  const DROP = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "IFRAME", "CANVAS", "VIDEO", "AUDIO", "OBJECT",
    "TEXTAREA", "SELECT", "OPTION", "PROGRESS", "METER", "DIALOG", "LINK", "META"]);
  const DROP_ROLES = new Set(["button", "toolbar", "menu", "menubar", "menuitem", "tooltip", "progressbar", "switch",
    "tab", "tablist", "combobox", "textbox", "img-button"]);
  const KEEP = new Set(["P", "H1", "H2", "H3", "H4", "H5", "H6", "UL", "OL", "LI", "BLOCKQUOTE", "HR", "BR", "TABLE",
    "THEAD", "TBODY", "TFOOT", "TR", "TH", "TD", "STRONG", "B", "EM", "I", "DEL", "S", "STRIKE", "SUP", "SUB", "DL",
    "DT", "DD", "A", "IMG", "CODE", "KBD", "SAMP", "MARK"]);
  const CODE_ROOT = ".cm-editor, .CodeMirror, .monaco-editor, .ace_editor";
  const GUTTER = ".cm-gutters, .CodeMirror-gutters, .CodeMirror-gutter-wrapper, .CodeMirror-linenumber, .ace_gutter, " +
    ".margin, .line-numbers-rows, .linenumber, .line-number, .lineno, .linenos, .hljs-ln-numbers, .gutter, " +
    ".react-syntax-highlighter-line-number, [data-line-number]:empty";
  const LANGUAGES = new Set(("python py javascript js typescript ts jsx tsx java kotlin swift c cpp c++ c# csharp go golang " +
    "rust ruby php html css scss sass less json json5 yaml yml toml ini xml svg sql bash sh shell zsh fish powershell ps1 " +
    "bat cmd perl lua r dart scala haskell elixir erlang clojure ocaml fsharp f# vb vbnet matlab julia groovy gradle diff " +
    "patch makefile cmake dockerfile docker nginx graphql proto protobuf solidity latex tex markdown md mermaid vue svelte " +
    "astro text txt plaintext plain console terminal log csv http regex asm assembly wasm objective-c objectivec pascal " +
    "fortran cobol prolog lisp scheme zig nim crystal d jsonc ndjson hcl terraform").split(" "));
  const LABELS = new Set(("copy copied code run edit download expand collapse wrap unwrap save preview insert apply raw " +
    "open fullscreen explain kopieren copier copiar copia 复制 复制代码 複製 コピー 복사 копировать lines line toggle").split(" "));
  const ALIASES = {"c++": "cpp", "c#": "csharp", "f#": "fsharp", "golang": "go", "objective-c": "objectivec"};
  const NO_LANGUAGE = new Set(["plaintext", "plain", "code", "none", "nohighlight", "undefined", "null", "auto"]);

  const style = (el) => getComputedStyle(el);
  const kids = (node) => {
    if (node.nodeType === 1) {
      if (node.shadowRoot) return [...node.shadowRoot.childNodes];
      if (node.tagName === "SLOT") {
        const given = node.assignedNodes({flatten: true});
        return given.length ? given : [...node.childNodes];
      }
    }
    return [...node.childNodes];
  };
  const classes = (el) => (typeof el.className === "string" ? el.className : el.getAttribute("class") || "");

  const hidden = (el, css) => {
    if (el.hidden || css.display === "none" || css.visibility === "hidden" || css.visibility === "collapse") return true;
    if (/(^|\s)(sr-only|visually-hidden|visuallyhidden|screen-reader-text|cdk-visually-hidden)(\s|$)/.test(classes(el))) return true;
    if (css.position === "absolute" || css.position === "fixed") {
      const tiny = parseFloat(css.width) <= 1.5 && parseFloat(css.height) <= 1.5;
      if (tiny || /inset\(50%|inset\(100%/.test(css.clipPath) || /rect\((0|1)px,? (0|1)px,? (0|1)px,? (0|1)px\)/.test(css.clip)) return true;
      if (parseFloat(css.left) < -5000 || parseFloat(css.top) < -5000) return true;
    }
    return false;
  };
  const icon = (el, css) => {
    const text = el.textContent.trim();
    if (!text || text.length > 40 || /\s/.test(text)) return false;
    return /material-(icons|symbols)|(^|\s)(fa[srlbd]?|icon|glyphicon|bi|mdi|codicon)(\s|$|-)/i.test(classes(el)) ||
      /icon|symbols|awesome/i.test(css.fontFamily.split(",")[0]);
  };
  const tex = (el) => {
    const note = el.querySelector('annotation[encoding="application/x-tex"], annotation[encoding="application/x-latex"]');
    if (note) return note.textContent.trim();
    for (const name of ["data-latex", "data-tex", "data-math", "data-expr", "alttext"]) {
      const holder = el.hasAttribute(name) ? el : el.querySelector(`[${name}]`);
      if (holder) return holder.getAttribute(name).trim();
    }
    return null;
  };
  const math = (el) => {
    const tag = el.tagName;
    if (tag === "SCRIPT" && /^math\/tex/.test(el.type)) return {t: "math", tex: el.textContent.trim(), block: /display/.test(el.type)};
    const box = el.classList && (el.classList.contains("katex") || el.classList.contains("katex-display"));
    if (!box && tag !== "MJX-CONTAINER" && tag !== "MATH" && tag !== "math" && !(el.classList && el.classList.contains("MathJax"))) return null;
    const source = tex(el);
    if (source === null) return null;
    const block = el.classList.contains("katex-display") || el.closest(".katex-display") !== null ||
      el.getAttribute("display") === "true" || el.getAttribute("display") === "block";
    return {t: "math", tex: source, block};
  };

  const codeText = (node) => {
    let out = "";
    const newline = () => { if (out && !out.endsWith("\n")) out += "\n"; };
    const walk = (n) => {
      if (n.nodeType === 3) { out += n.data; return; }
      if (n.nodeType !== 1 && n.nodeType !== 11) return;
      if (n.nodeType === 1) {
        if (n.tagName === "BR") { out += "\n"; return; }
        if (DROP.has(n.tagName) || n.tagName === "BUTTON" || n.tagName.toLowerCase() === "svg" || n.matches(GUTTER)) return;
        const css = style(n);
        if (n !== node && css.display === "none") return;
        if (n !== node && /none/.test(css.userSelect) && /^\s*\d*\s*$/.test(n.textContent)) return;
        const block = n !== node && /^(block|flex|grid|table-row|list-item)$/.test(css.display);
        if (block) newline();
        const before = out.length;
        kids(n).forEach(walk);
        if (block) { if (out.length === before) out += "\n"; else newline(); }
        return;
      }
      kids(n).forEach(walk);
    };
    walk(node);
    return out;
  };
  const editorText = (el) => {
    const of = (selector) => [...el.querySelectorAll(selector)];
    let lines = of(".cm-line");
    if (!lines.length) lines = of(".CodeMirror-line");
    if (!lines.length) lines = of(".view-line").sort((a, b) => parseFloat(a.style.top || 0) - parseFloat(b.style.top || 0));
    if (!lines.length) lines = of(".ace_line");
    if (!lines.length) return null;
    return lines.map((line) => line.textContent.replace(/\u00a0/g, " ").replace(/\u200b/g, "")).join("\n");
  };
  const language = (el) => {
    let at = el;
    for (let up = 0; at && up < 4; up++) {
      for (const one of up === 0 ? [at, ...at.querySelectorAll("code, [data-language], [class*=language-]")].slice(0, 4) : [at]) {
        const named = /(?:^|\s)(?:language|lang|highlight-source|brush:?\s?)-?([A-Za-z0-9+#._-]+)/.exec(classes(one));
        const given = one.getAttribute("data-language") || one.getAttribute("data-lang") || one.getAttribute("language") ||
          (one.tagName === "PRE" || one.tagName === "CODE" ? one.getAttribute("lang") : null);
        const found = given || (named && named[1]);
        if (found && /^[A-Za-z0-9+#._-]{1,30}$/.test(found)) return found.toLowerCase();
      }
      if (at === root) break;
      at = at.parentElement || (at.getRootNode().host ?? null);
    }
    return "";
  };
  const tidyLanguage = (name) => NO_LANGUAGE.has(name) ? "" : ALIASES[name] || name;
  const code = (el) => {
    const editor = el.matches(CODE_ROOT) ? el : el.querySelector(CODE_ROOT);
    const text = (editor && editorText(editor)) ?? codeText(el);
    return {t: "code", lang: tidyLanguage(language(el)), text: text.replace(/\n$/, "")};
  };

  const table = (el) => {
    const rows = [];
    const walk = (n) => {
      for (const kid of kids(n)) {
        if (kid.nodeType !== 1) continue;
        const role = kid.getAttribute("role");
        if (role === "row" || kid.tagName === "TR") rows.push(kid); else walk(kid);
      }
    };
    walk(el);
    const cellsOf = (row) => {
      const cells = [];
      const find = (n) => {
        for (const kid of kids(n)) {
          if (kid.nodeType !== 1) continue;
          const role = kid.getAttribute("role");
          if (kid.tagName === "TH" || kid.tagName === "TD" || /^(cell|gridcell|columnheader|rowheader)$/.test(role || "")) cells.push(kid);
          else find(kid);
        }
      };
      find(row);
      return cells;
    };
    const out = rows.map((row) => cellsOf(row).map((cell) => ({
      align: {center: "center", right: "right", end: "right", left: "left", "-webkit-center": "center", "-webkit-right": "right"}[style(cell).textAlign] || "",
      kids: inside(cell),
    }))).filter((row) => row.length);
    return out.length ? {t: "table", rows: out} : null;
  };

  const blockish = (css) => /^(block|flex|grid|list-item|table|flow-root|table-row|table-cell)/.test(css.display);
  const inside = (el) => kids(el).flatMap((kid) => build(kid, el));
  const build = (node, parent) => {
    if (node.nodeType === 3) {
      const pre = parent.nodeType === 1 && /^(pre|break-spaces)/.test(style(parent).whiteSpace);
      const between = pre && !node.data.trim() && [...parent.children].some((el) => blockish(style(el)));
      return [{t: "text", text: node.data, pre: pre && !between}];
    }
    if (node.nodeType !== 1) return [];
    const tag = node.tagName.toUpperCase();
    const formula = math(node);
    if (formula) return formula.tex ? [formula] : [];
    if (node.classList && node.classList.contains("MathJax_Preview")) return [];
    if (DROP.has(tag) || tag === "SVG") return [];
    const css = style(node);
    if (tag === "INPUT") return /checkbox/.test(node.type) ? [{t: "check", on: node.checked}] : [];
    if (hidden(node, css)) return [];
    const role = node.getAttribute("role") || "";
    if (role === "checkbox") return [{t: "check", on: node.getAttribute("aria-checked") === "true"}];
    if (tag === "BUTTON" || DROP_ROLES.has(role)) {
      const flows = parent.nodeType === 1 && /^(P|LI|TD|EM|STRONG)$/.test(parent.tagName) && css.display.startsWith("inline") &&
        [...parent.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
      const words = node.textContent.trim();
      return flows && words && !LABELS.has(words.toLowerCase()) ? inside(node) : [];
    }
    if (icon(node, css) || node.matches(GUTTER)) return [];
    if (tag === "PRE" || node.matches(CODE_ROOT)) return [code(node)];
    const alone = (el) => ![...el.parentNode.childNodes].some((n) => n !== el && n.textContent.trim());
    if (tag === "CODE" && ((blockish(css) && (alone(node) || node.textContent.trim().includes("\n"))) || (/^(pre|break-spaces)/.test(css.whiteSpace) && node.textContent.trim().includes("\n")))) return [code(node)];
    if (tag === "TABLE" || role === "table" || role === "grid") {
      const numbers = node.querySelector(".hljs-ln-numbers, .lineno, .blob-num");
      const made = numbers ? null : table(node);
      if (made) return [made];
    }
    if (tag === "CODE" || tag === "KBD" || tag === "SAMP") return [{t: "icode", text: node.textContent}];
    if (tag === "IMG") {
      const src = node.getAttribute("src") || "";
      if (!src || /^data:image\/svg/.test(src) || (node.width && node.width < 20)) return [];
      return [{t: "img", src, alt: node.getAttribute("alt") || ""}];
    }
    const content = inside(node);
    if (!content.length && blockish(css)) {
      const box = node.getBoundingClientRect();
      if (box.height > 0 && box.height <= 3 && box.width >= 100) return [{t: "el", tag: "hr", block: true, kids: []}];
    }
    if (tag === "A") {
      const href = node.getAttribute("href") || "";
      const words = plain(content).trim();
      if (parent.nodeType === 1 && /^H[1-6]$/.test(parent.tagName) && /^[#¶§🔗\s]*$/u.test(words)) return [];
      if (!href || /^javascript:/i.test(href)) return content;
      if (words === href) return [{t: "text", text: href}];
      return [{t: "el", tag: "a", href, title: node.getAttribute("title") || "", kids: content}];
    }
    if (KEEP.has(tag)) return [{t: "el", tag: tag.toLowerCase(), block: blockish(css), start: tag === "OL" ? node.start : undefined, kids: content}];
    if (role === "heading") return [{t: "el", tag: "h" + Math.min(6, Math.max(1, parseInt(node.getAttribute("aria-level") || "2"))), block: true, kids: content}];
    if (role === "list") return [{t: "el", tag: "ul", block: true, kids: content}];
    if (role === "listitem") return [{t: "el", tag: "li", block: true, kids: content}];
    if (role === "separator" && !plain(content).trim()) return [{t: "el", tag: "hr", block: true, kids: []}];
    if (blockish(css) || css.display === "contents" && content.some((n) => n.block || n.t === "code" || n.t === "table")) {
      return [{t: "el", tag: "div", block: true, kids: unwrap(content)}];
    }
    return [styled(node, parent, css, content)];
  };
  const styled = (node, parent, css, content) => {
    const above = parent.nodeType === 1 ? style(parent) : css;
    let out = {t: "el", tag: "span", kids: content};
    const words = plain(content).trim();
    if (!words || content.some((n) => n.block || n.t === "code" || n.t === "table")) return out;
    const within = (selector) => node.closest(selector) !== null;
    const mono = (c) => /mono|courier|consolas|menlo/i.test(c.fontFamily.split(",")[0]);
    if (mono(css) && !mono(above)) return {t: "icode", text: words};
    if (parseInt(css.fontWeight) >= 600 && parseInt(above.fontWeight) < 600 && !within("h1,h2,h3,h4,h5,h6,th,strong,b,[role=heading]")) out = {t: "el", tag: "strong", kids: [out]};
    if (/italic|oblique/.test(css.fontStyle) && !/italic|oblique/.test(above.fontStyle) && !within("em,i")) out = {t: "el", tag: "em", kids: [out]};
    if (/line-through/.test(css.textDecorationLine) && !within("del,s,strike")) out = {t: "el", tag: "del", kids: [out]};
    return out;
  };

  // A box that holds one code block and, besides, only its label and the words of its buttons.
  const codes = (nodes) => nodes.flatMap((n) => n.t === "code" ? [n] : n.kids ? codes(n.kids) : n.t === "table" ? [] : []);
  const unwrap = (nodes) => {
    const found = codes(nodes);
    if (found.length !== 1) return nodes;
    const rest = plain(nodes.filter((n) => n !== found[0]), found[0]).trim().toLowerCase();
    if (!rest) return nodes;
    const words = rest.split(/\s+/);
    if (words.length > 6 || !words.every((w) => LANGUAGES.has(w) || LABELS.has(w) || NO_LANGUAGE.has(w) || /^\d+$/.test(w))) return nodes;
    // "text" is what many pages write over code without a language.
    const named = words.find((w) => LANGUAGES.has(w) && !/^(text|txt|plaintext|plain)$/.test(w));
    if (named && !found[0].lang) found[0].lang = tidyLanguage(named);
    return [found[0]];
  };

  const plain = (nodes, without) => {
    let out = "";
    const line = () => { if (out && !out.endsWith("\n")) out += "\n"; };
    const walk = (n) => {
      if (n === without) return;
      if (n.t === "text") out += n.pre ? n.text : n.text.replace(/[ \t\r\n\f]+/g, " ");
      else if (n.t === "icode") out += n.text;
      else if (n.t === "math") out += n.block ? "\n$$" + n.tex + "$$\n" : "$" + n.tex + "$";
      else if (n.t === "code") { line(); out += n.text + "\n"; }
      else if (n.t === "table") for (const row of n.rows) { line(); row.forEach((cell, i) => { if (i) out += "\t"; cell.kids.forEach(walk); }); out += "\n"; }
      else if (n.t === "el") {
        if (n.tag === "br") { out += "\n"; return; }
        const block = n.block || /^(p|h[1-6]|ul|ol|li|blockquote|div|hr|dt|dd)$/.test(n.tag);
        if (block) line();
        n.kids.forEach(walk);
        if (block) line();
      }
    };
    nodes.forEach(walk);
    return out;
  };

  const esc = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
  const html = (n) => {
    if (n.t === "text") return n.pre ? esc(n.text).replace(/\n/g, "<br>") : esc(n.text);
    if (n.t === "icode") return `<code>${esc(n.text)}</code>`;
    if (n.t === "check") return `<input type="checkbox"${n.on ? " checked" : ""}>`;
    if (n.t === "img") return `<img src="${esc(n.src)}" alt="${esc(n.alt)}">`;
    if (n.t === "math") return n.block ? `<math-block tex="${esc(n.tex)}"></math-block>` : `<math-inline tex="${esc(n.tex)}"></math-inline>`;
    if (n.t === "code") return `<pre><code${n.lang ? ` class="language-${esc(n.lang)}"` : ""}>${esc(n.text)}\n</code></pre>`;
    if (n.t === "table") {
      const row = (cells, tag) => "<tr>" + cells.map((c) => `<${tag}${c.align ? ` align="${c.align}"` : ""}>${c.kids.map(html).join("")}</${tag}>`).join("") + "</tr>";
      return `<table><thead>${row(n.rows[0], "th")}</thead><tbody>${n.rows.slice(1).map((r) => row(r, "td")).join("")}</tbody></table>`;
    }
    const inner = n.kids.map(html).join("");
    if (n.tag === "br") return "<br>";
    if (n.tag === "hr") return "<hr>";
    if (n.tag === "a") return `<a href="${esc(n.href)}"${n.title ? ` title="${esc(n.title)}"` : ""}>${inner}</a>`;
    if (n.tag === "ol") return `<ol start="${n.start ?? 1}">${inner}</ol>`;
    return `<${n.tag}>${inner}</${n.tag}>`;
  };

  // The root's own content, or the root itself where it is a block of the text (and not an item of a list of messages).
  const whole = /^(P|H[1-6]|UL|OL|TABLE|PRE|BLOCKQUOTE|CODE)$/.test(root.tagName);
  const tree = whole ? build(root, root.parentElement || root) : unwrap(inside(root));
  // A page that shows Markdown as it came: text and line breaks only, blanks kept.
  const bare = (n) => n.t === "text" ? n.pre || !n.text.trim() : n.t === "el" && /^(br|div|span|p)$/.test(n.tag) && n.kids.every(bare);
  // A page that cuts a text between two halves of one character must not break what reads it.
  return {html: tree.map(html).join("").toWellFormed(), text: plain(tree).toWellFormed(), verbatim: tree.length > 0 && tree.every(bare)};
}
