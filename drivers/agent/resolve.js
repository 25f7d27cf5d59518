// From a stored locator to the element: a path of CSS selectors, each step but the first inside a shadow root.

function allRoots() {
  const roots = [document];
  const go = (root) => {
    for (const el of root.querySelectorAll("*")) {
      const shadow = shadowOf(el);
      if (shadow) { roots.push(shadow); go(shadow); }
    }
  };
  go(document);
  return roots;
}

function matches(locator) {
  let found = [];
  try {
    let scopes = [document];
    locator.path.forEach((css, step) => {
      found = scopes.flatMap((scope) => [...scope.querySelectorAll(css)]);
      if (step < locator.path.length - 1) scopes = found.map(shadowOf).filter(Boolean);
    });
    if (!found.length && locator.path.length === 1)
      found = allRoots().slice(1).flatMap((root) => [...root.querySelectorAll(locator.path[0])]);
  } catch {
    return [];  // a selector this browser cannot parse matches nothing
  }
  return found;
}

// The first locator of the list that names exactly one visible element.
function resolve(locators) {
  for (let i = 0; i < locators.length; i++) {
    const seen = matches(locators[i]).filter(visible);
    if (seen.length === 1) return { el: seen[0], index: i };
  }
  return null;
}

nerv.counts = (locators) => locators.map((locator) => {
  const all = matches(locator);
  return { all: all.length, visible: all.filter(visible).length };
});
nerv.element = (locators) => { const hit = resolve(locators); return hit ? hit.el : null; };
nerv.firstVisible = (locators) => {
  for (const locator of locators) {
    const seen = matches(locator).filter(visible);
    if (seen.length) return seen[0];
  }
  return null;
};
