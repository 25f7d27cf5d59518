// Controls: buttons and whatever is drawn as one. Their signatures tell an idle page from a busy one.

const CONTROL = "button,[role=button],input[type=submit],input[type=button],input[type=image],summary,a[role=button]";

function controlLike(el) {
  if (el.matches(CONTROL)) return true;
  // A div, span or custom element that is drawn as a button: a hand for a pointer, small, without other controls inside.
  const name = el.localName;
  if (name === "a" || name === "label" || name === "body" || UNDRAWN.has(name)) return false;
  const box = el.getBoundingClientRect();
  if (box.width < 8 || box.height < 8 || box.height > 90) return false;
  // A wide one can only be a plain block that says very little.
  if (box.width > 160 && (box.height > 60 || !el.textContent.trim() || el.textContent.trim().length > 20)) return false;
  if (el.hasAttribute("onclick") || (el.tabIndex >= 0 && el.hasAttribute("tabindex") && !el.isContentEditable && name !== "pre")) return !el.querySelector(CONTROL);
  if (getComputedStyle(el).cursor !== "pointer") return false;
  const parent = parentOf(el);
  if (parent && parent.nodeType === 1 && getComputedStyle(parent).cursor === "pointer" && parent.localName !== "body") return false;
  return !el.querySelector(CONTROL) && !(shadowOf(el) && shadowOf(el).querySelector(CONTROL));
}

function signature(el) {
  const label = labelOf(el) || el.getAttribute("data-testid") || textOf(el).slice(0, 30);
  return [el.localName, label, iconOf(el), disabledOf(el) ? "off" : "on"].join("|");
}

// Signatures of the controls around the composer: everything drawn within the nearest box that also holds other
// controls, and every control of the page that is not part of a message, a menu or a side bar.
function pageControls(skip) {
  const list = [];
  eachElement(document, (el) => {
    if (skip(el) || el.matches("nav,aside,[role=navigation],[role=complementary]")) return false;
    if (el.localName === "textarea" || el.localName === "input" || el.isContentEditable) return false;
    if (controlLike(el)) {
      if (visible(el)) list.push(el);
      return false;
    }
    return true;
  });
  return list.slice(0, 200).map(signature);
}
