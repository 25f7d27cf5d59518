import {
  ActionBarPrimitive, AssistantRuntimeProvider, ComposerPrimitive, MessagePrimitive, ThreadPrimitive, useLocalRuntime,
} from "@assistant-ui/react";
import { MarkdownTextPrimitive } from "@assistant-ui/react-markdown";
import { createRoot } from "react-dom/client";
import remarkGfm from "remark-gfm";

const textOf = (message) => message.content.map((part) => part.text ?? "").join("");

const model = {
  async *run({ messages, abortSignal }) {
    const response = await fetch("/v1/chat/completions", {
      method: "POST", signal: abortSignal, headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        stream: true, messages: messages.map((m) => ({ role: m.role, content: textOf(m) })),
      }),
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = "", text = ""; ;) {
      const { done, value } = await reader.read();
      if (done) return;
      const records = (rest + value).split("\n\n");
      rest = records.pop();
      for (const record of records) {
        if (record !== "data: [DONE]") text += JSON.parse(record.slice(6)).choices[0].delta.content;
      }
      yield { content: [{ type: "text", text }] };
    }
  },
};

const Markdown = () => <MarkdownTextPrimitive remarkPlugins={[remarkGfm]} />;

const UserMessage = () => (
  <MessagePrimitive.Root style={{ textAlign: "right" }}><MessagePrimitive.Parts /></MessagePrimitive.Root>
);

const AssistantMessage = () => (
  <MessagePrimitive.Root>
    <MessagePrimitive.Parts components={{ Text: Markdown }} />
    <ActionBarPrimitive.Root hideWhenRunning>
      <ActionBarPrimitive.Copy>Copy</ActionBarPrimitive.Copy>
      <ActionBarPrimitive.Reload>Try again</ActionBarPrimitive.Reload>
    </ActionBarPrimitive.Root>
  </MessagePrimitive.Root>
);

function App() {
  const runtime = useLocalRuntime(model);
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Viewport style={{ height: 540, overflow: "auto" }}>
          <ThreadPrimitive.Suggestion prompt="What can you do?" send>What can you do?</ThreadPrimitive.Suggestion>
          <ThreadPrimitive.Messages components={{ UserMessage, AssistantMessage }} />
        </ThreadPrimitive.Viewport>
        <ComposerPrimitive.Root>
          <ComposerPrimitive.Input placeholder="Send a message..." style={{ width: "70%" }} />
          <ThreadPrimitive.If running={false}><ComposerPrimitive.Send>↑</ComposerPrimitive.Send></ThreadPrimitive.If>
          <ThreadPrimitive.If running><ComposerPrimitive.Cancel>■</ComposerPrimitive.Cancel></ThreadPrimitive.If>
        </ComposerPrimitive.Root>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

createRoot(document.getElementById("root")).render(<App />);
