// Waiting inside the page, so that the outside makes one call.

// Resolves when the input is there, enabled and not covered, and the page has not changed for quiet ms; or at cap ms.
nerv.ready = (locators, quiet, cap) => new Promise((done) => {
  const began = performance.now();
  let last = began;
  let timer = 0;
  const watcher = new MutationObserver(() => { last = performance.now(); });
  const watch = (root) => watcher.observe(root, { subtree: true, childList: true, attributes: true });
  for (const root of allRoots()) watch(root);
  rootWatchers.add(watch);
  const end = (state) => {
    watcher.disconnect();
    rootWatchers.delete(watch);
    clearTimeout(timer);
    if (state === "quiet") nerv.idle();
    done({ state, waited: performance.now() - began, loaded: document.readyState });
  };
  const check = () => {
    const now = performance.now();
    const hit = locators.length ? resolve(locators) : { el: null };
    let state = hit ? "quiet" : "missing";
    if (hit && hit.el) {
      if (disabledOf(hit.el)) state = "disabled";
      else {
        const box = hit.el.getBoundingClientRect();
        if (box.bottom < 0 || box.top > innerHeight) hit.el.scrollIntoView({ block: "nearest" });
        const over = hitAt(box.x + box.width / 2, box.y + box.height / 2);
        if (over && !contains(hit.el, over) && !contains(over, hit.el)) state = "covered";
      }
    }
    const still = now - last >= quiet && document.readyState === "complete";
    if ((state === "quiet" && still) || now - began >= cap) return end(state);
    if (state === "covered" && still && now - began > 300) return end(state);
    timer = setTimeout(check, state === "quiet" ? Math.min(50, Math.max(5, quiet - (now - last))) : 25);
  };
  check();
});

nerv.probe = () => ({ url: location.href, title: document.title, ready: document.readyState });
