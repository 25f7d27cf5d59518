// What lies over the page: dialogs, banners, and the buttons that take them away.

const NEVER = /\b(buy|pay|purchase|order|subscribe|upgrade|leave|exit|quit|log ?out|sign ?out|delete|remove|erase|sign ?in|sign ?up|log ?in|register|send|submit|checkout|kaufen|bezahlen|löschen|anmelden|acheter|payer|supprimer|connexion|comprar|pagar|eliminar|iniciar)\b/i;
const CLOSE = /\b(close|dismiss|skip|later|no thanks|not now|maybe later|cancel|hide|schließen|später|überspringen|fermer|plus tard|ignorer|cerrar|omitir|chiudi|fechar|sluiten|关闭|閉じる|закрыть)\b|^[×✕✖⨯xX]$/i;
const ACCEPT = /\b(accept|agree|allow|ok|okay|got it|continue|understood|i understand|confirm|start|let'?s go|get started|begin|done|next|yes|reject|decline|only necessary|akzeptieren|zustimmen|verstanden|weiter|ablehnen|accepter|continuer|refuser|compris|aceptar|continuar|entendido|rechazar|accetta|aceitar|akkoord|同意|确定|接受|承認|了解|принять|согласен)\b/i;

function overlayRoot(el) {
  let top = null;
  for (let n = el; n && n.nodeType === 1 && n !== document.body; n = parentOf(n)) {
    if (n.matches("dialog,[role=dialog],[role=alertdialog],[aria-modal=true]")) return n;
    const position = getComputedStyle(n).position;
    if (position === "fixed" || position === "absolute" || position === "sticky") top = n;
  }
  return top;
}

const pressed = new WeakSet();

// Boxes to tick before a dialog lets one go on.
const openBoxes = (root) => {
  const list = [];
  eachElement(root, (el) => {
    if (el.localName === "input" ? el.type === "checkbox" && !el.checked && !disabledOf(el)
      : el.getAttribute("role") === "checkbox" && el.getAttribute("aria-checked") === "false" && visible(el)) list.push(el);
    return true;
  });
  return list;
};

function controlsIn(root, off = false) {
  const list = [];
  const look = (el) => {
    if (el.getAttribute("role") === "checkbox" || el.localName === "input" && el.type === "checkbox") return false;
    if ((controlLike(el) || el.matches("a[href^='#'],a:not([href]),[class*=close],[aria-label*=lose]")) && visible(el) && disabledOf(el) === off) {
      list.push(el);
      return false;
    }
    return true;
  };
  eachElement(root, look);
  return list;
}

function dismissControl(root) {
  const named = controlsIn(root).map((el) => {
    const text = textOf(el).trim().slice(0, 60);
    const name = [labelOf(el), text, el.getAttribute("data-testid") || "", String(el.getAttribute("class") || "").replace(/[-_]/g, " ")].join(" ");
    const plain = labelOf(el) || text;
    if (NEVER.test(plain) && !CLOSE.test(plain)) return { el, score: -1 };
    let score = 0;
    if (CLOSE.test(plain)) score = 3;
    else if (ACCEPT.test(plain)) score = 4;
    else if (/\bclose\b/i.test(name)) score = 2;
    else if (!plain && iconOf(el)) score = 1;
    return { el, score: score > 0 && pressed.has(el) ? score / 10 : score };  // it did not take the dialog away
  });
  const good = named.filter((n) => n.score > 0).sort((a, b) => b.score - a.score);
  const boxes = openBoxes(root);
  if (boxes.length && (!good.length || good[0].score < 1 || controlsIn(root, true).some((el) => ACCEPT.test(labelOf(el) || textOf(el)))))
    return boxes[0];
  if (good.length) return good[0].el;
  const plain = named.filter((n) => n.score === 0);
  return named.length === 1 && plain.length === 1 ? plain[0].el : null;
}

// Dialogs in view, and what covers the input (if one is given).
nerv.overlays = (locators, shadeOnly) => {
  const found = [];
  const note = (root, why) => {
    if (!root || found.some((f) => f.root === root || contains(f.root, root))) return;
    const hit = locators.length ? resolve(locators) : null;
    if (hit && hit.el && contains(root, hit.el)) return;
    found.push({ root, why });
  };
  const hit = locators.length ? resolve(locators) : null;
  if (hit && hit.el) {
    const box = hit.el.getBoundingClientRect();
    const over = hitAt(box.x + box.width / 2, box.y + box.height / 2);
    if (over && !contains(hit.el, over) && !contains(over, hit.el)) note(overlayRoot(over) || over, "covers");
  }
  if (!shadeOnly)
    eachElement(document, (el) => {
      if (el.matches("dialog[open],[role=dialog],[role=alertdialog],[aria-modal=true]") && visible(el)) { note(el, "dialog"); return false; }
      return true;
    });
  if (!found.length && !shadeOnly && !(hit && hit.el)) {
    const over = hitAt(innerWidth / 2, innerHeight / 2);
    const root = over && overlayRoot(over);
    if (root && getComputedStyle(root).position === "fixed") note(root, "centre");
  }
  picks = [];
  return found.map(({ root, why }) => {
    const button = dismissControl(root);
    let pick = -1;
    if (button) pick = picks.push(button) - 1;
    return {
      why, pick, role: root.getAttribute("role") || root.localName, text: textOf(root).slice(0, 200),
      button: button ? (labelOf(button) || textOf(button)).slice(0, 60) : "",
      password: Boolean(root.querySelector("input[type=password]")),
      input: Boolean(root.querySelector("textarea,[contenteditable=true]")),
      boxes: [...root.querySelectorAll("input[type=checkbox]")].filter((b) => !b.checked).length,
    };
  });
};
nerv.click = (index) => { const el = picks[index]; if (!el) return false; pressed.add(el); el.click(); return true; };
