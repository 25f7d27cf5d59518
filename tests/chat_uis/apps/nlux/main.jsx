import { createAiChat } from "@nlux/core";
import "@nlux/themes/nova.css";

const adapter = {
  async streamText(prompt, observer) {
    const response = await fetch("/api/chat", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ prompt }),
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      observer.next(value);
    }
    observer.complete();
  },
};

createAiChat()
  .withAdapter(adapter)
  .withComposerOptions({ placeholder: "How can I help?" })
  .withDisplayOptions({ themeId: "nova", height: 620 })
  .mount(document.getElementById("root"));
