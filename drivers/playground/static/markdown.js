// Markdown to HTML, in the page. `markdown.py` is the same on the server.
const FENCE = /^( {0,3})(`{3,}|~{3,})\s*([\w+#.-]*).*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])(\s+)(?=\S)/;
const TASK = /^\[([ xX])\]\s+/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const SAFE_TARGET = /^(https?:|mailto:|\/|#)/i;
const INLINE = new RegExp([
  /(?<tick>`+)(?<code>[\s\S]+?)\k<tick>(?!`)/,
  /\\(?<literal>[!-/:-@[-`{-~])/,
  /(?<bang>!?)\[(?<label>(?:[^[\]\\]|\\.)*)\]\((?<target>[^\s()]*)\)/,
  /\$(?! )(?<math>[^$\n]+?)\$(?!\d)/,
  /\*\*(?=\S)(?<bold>[\s\S]+?)\*\*(?!\*)/,
  /~~(?=\S)(?<strike>[\s\S]+?)~~/,
  /\*(?=\S)(?<italic>[^*]+?)\*/,
  /(?<!\w)_(?=\S)(?<under>[^_]+?)_(?!\w)/,
  /(?<hard> {2,}|\\)\n/,
].map((part) => part.source).join("|"), "g");

const escape = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

export function toHtml(source) {
  return blocks(source.replaceAll("\r\n", "\n").split("\n"), false);
}

function inline(text) {
  let out = "", at = 0;
  for (const match of text.matchAll(INLINE)) {
    out += escape(text.slice(at, match.index)) + span(match.groups);
    at = match.index + match[0].length;
  }
  return out + escape(text.slice(at));
}

function span(part) {
  if (part.code !== undefined) return `<code>${escape(part.code.trim())}</code>`;
  if (part.literal !== undefined) return escape(part.literal);
  if (part.label !== undefined) {
    const target = escape(SAFE_TARGET.test(part.target) ? part.target : "#");
    if (part.bang) return `<img src="${target}" alt="${escape(part.label)}">`;
    return `<a href="${target}" target="_blank" rel="noopener">${inline(part.label)}</a>`;
  }
  if (part.math !== undefined) return `<span class="math">$${escape(part.math)}$</span>`;
  for (const [name, tag] of [["bold", "strong"], ["strike", "del"], ["italic", "em"], ["under", "em"]])
    if (part[name] !== undefined) return `<${tag}>${inline(part[name])}</${tag}>`;
  return "<br>";
}

const width = (line) => line.length - line.trimStart().length;

function blocks(lines, tight) {
  const out = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) { at += 1; continue; }
    let made = null;
    for (const block of BLOCKS) if ((made = block(lines, at))) break;
    made ??= paragraph(lines, at, tight);
    out.push(made[0]);
    at = made[1];
  }
  return out.join("\n");
}

function fence(lines, at) {
  const match = FENCE.exec(lines[at]);
  if (!match) return null;
  const [, indent, mark, language] = match;
  const closing = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}\\s*$`);
  const body = [];
  for (at += 1; at < lines.length && !closing.test(lines[at]); at += 1)
    body.push(lines[at].slice(Math.min(indent.length, width(lines[at]))));
  const text = body.map((line) => line + "\n").join("");
  const css = language ? ` class="language-${language}"` : "";
  const bar = `<div class="code-bar"><span class="code-language">${language || "text"}</span>` +
    `<button type="button" class="copy-code">Copy code</button></div>`;
  return [`<div class="code">${bar}<pre><code${css}>${escape(text)}</code></pre></div>`, at + 1];
}

function math(lines, at) {
  if (lines[at].trim() !== "$$") return null;
  let end = at + 1;
  while (end < lines.length && lines[end].trim() !== "$$") end += 1;
  return [`<div class="math">${escape(lines.slice(at, end + 1).join("\n"))}</div>`, end + 1];
}

function heading(lines, at) {
  const match = HEADING.exec(lines[at]);
  return match && [`<h${match[1].length}>${inline(match[2])}</h${match[1].length}>`, at + 1];
}

const rule = (lines, at) => (RULE.test(lines[at]) ? ["<hr>", at + 1] : null);

function quote(lines, at) {
  const body = [];
  for (; at < lines.length && lines[at].trimStart().startsWith(">"); at += 1)
    body.push(lines[at].replace(/^\s*> ?/, ""));
  return body.length ? [`<blockquote>${blocks(body, false)}</blockquote>`, at] : null;
}

const cells = (line) => line.trim().replace(/^\|+|\|+$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim());

function align(cell) {
  const left = cell.startsWith(":"), right = cell.endsWith(":");
  return left && right ? "center" : right ? "right" : left ? "left" : "";
}

function row(line, aligns, tag) {
  const parts = cells(line);
  return `<tr>${aligns.map((side, n) =>
    `<${tag}${side && ` style="text-align: ${side}"`}>${inline(parts[n] ?? "")}</${tag}>`).join("")}</tr>`;
}

function table(lines, at) {
  if (!lines[at].includes("|") || !TABLE_RULE.test(lines[at + 1] ?? "")) return null;
  const aligns = cells(lines[at + 1]).map(align);
  const head = row(lines[at], aligns, "th");
  let body = "";
  for (at += 2; at < lines.length && lines[at].includes("|"); at += 1) body += row(lines[at], aligns, "td");
  return [`<table><thead>${head}</thead><tbody>${body}</tbody></table>`, at];
}

function list(lines, at) {
  const first = ITEM.exec(lines[at]);
  if (!first) return null;
  const ordered = /\d/.test(first[2]);
  let items = "";
  while (at < lines.length) {
    const match = ITEM.exec(lines[at]);
    if (!match || /\d/.test(match[2]) !== ordered || match[1].length > first[1].length + 1) break;
    const indent = match[0].length, body = [lines[at].slice(indent)];
    for (at += 1; at < lines.length; at += 1) {
      const line = lines[at], blank = !line.trim();
      if (blank && !(lines[at + 1] ?? "").startsWith(" ".repeat(indent))) break;
      if (!blank && width(line) < indent) break;
      body.push(line.slice(indent));
    }
    items += item(body);
    let after = at;
    while (after < lines.length && !lines[after].trim()) after += 1;
    if (after > at && after < lines.length && ITEM.test(lines[after])) at = after;
  }
  const start = ordered ? parseInt(first[2], 10) : 1;
  const tag = ordered ? "ol" : "ul";
  return [`<${tag}${start === 1 ? "" : ` start="${start}"`}>${items}</${tag}>`, at];
}

function item(body) {
  const task = TASK.exec(body[0]);
  if (!task) return `<li>${blocks(body, true)}</li>`;
  const rest = [body[0].slice(task[0].length), ...body.slice(1)];
  const box = `<input type="checkbox" disabled${task[1] === " " ? "" : " checked"}> `;
  return `<li class="task">${box}${blocks(rest, true)}</li>`;
}

function paragraph(lines, at, tight) {
  const body = [lines[at]];
  for (at += 1; at < lines.length && lines[at].trim() && !BLOCKS.some((block) => block(lines, at)); at += 1)
    body.push(lines[at]);
  const text = inline(body.map((line) => line.trimStart()).join("\n").trimEnd());
  return [tight ? text : `<p>${text}</p>`, at];
}

const BLOCKS = [fence, math, heading, rule, table, quote, list];
