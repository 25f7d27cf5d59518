// The input box and its button: a textarea or a contenteditable, Send that turns into Stop.
const ICONS = {
  send: '<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path fill="currentColor" d="M12 4l7 7-1.4 1.4L13 7.8V20h-2V7.8l-4.6 4.6L5 11z"/></svg>',
  stop: '<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><rect x="7" y="7" width="10" height="10" rx="2" fill="currentColor"/></svg>',
};

function makeField(editable) {
  if (!editable) {
    const area = document.createElement("textarea");
    area.rows = 1;
    area.placeholder = "Ask anything";
    area.setAttribute("aria-label", "Message");
    return { element: area, get: () => area.value, clear: () => { area.value = ""; } };
  }
  const box = document.createElement("div");
  box.contentEditable = "true";
  box.dataset.placeholder = "Ask anything";
  for (const [name, value] of [["role", "textbox"], ["aria-multiline", "true"], ["aria-label", "Message"]])
    box.setAttribute(name, value);
  box.addEventListener("paste", (event) => {
    event.preventDefault();
    document.execCommand("insertText", false, event.clipboardData.getData("text/plain"));
  });
  return { element: box, get: () => box.innerText, clear: () => { box.replaceChildren(); } };
}

export function makeComposer({ editable, onSend, onStop }) {
  const form = document.createElement("form");
  form.className = "composer";
  const field = makeField(editable);
  field.element.classList.add("field");
  const button = document.createElement("button");
  let generating = false;

  function show() {
    button.type = generating ? "button" : "submit";
    button.className = generating ? "stop" : "send";
    button.innerHTML = ICONS[generating ? "stop" : "send"];
    button.setAttribute("aria-label", generating ? "Stop generating" : "Send message");
    button.disabled = !generating && !field.get().trim();
  }
  function submit() {
    const prompt = field.get().trim();
    if (generating || !prompt) return;
    field.clear();
    onSend(prompt);
  }
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  button.addEventListener("click", (event) => {
    if (!generating) return;
    event.preventDefault();
    onStop();
  });
  field.element.addEventListener("input", show);
  field.element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  form.append(field.element, button);
  show();
  return {
    form,
    focus: () => field.element.focus(),
    busy(state) { generating = state; show(); },
  };
}
