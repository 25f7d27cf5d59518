import "@chatscope/chat-ui-kit-styles/dist/default/styles.min.css";
import {
  ChatContainer, MainContainer, Message, MessageInput, MessageList, TypingIndicator,
} from "@chatscope/chat-ui-kit-react";
import { marked } from "marked";
import { useEffect, useRef, useState } from "react";
import { createRoot } from "react-dom/client";

function App() {
  const [messages, setMessages] = useState([{ own: false, text: "Hello, ask me something." }]);
  const [typing, setTyping] = useState(false);
  const socket = useRef(null);
  useEffect(() => {
    const ws = new WebSocket(`ws://${location.host}/socket`);
    ws.onmessage = ({ data }) => {
      const { op, payload } = JSON.parse(data);
      if (op === "begin") setMessages((all) => [...all, { own: false, text: "" }]);
      if (op === "end") setTyping(false);
      if (op === "token")
        setMessages((all) => [...all.slice(0, -1), { own: false, text: all.at(-1).text + payload.t }]);
    };
    socket.current = ws;
    return () => ws.close();
  }, []);
  const send = (html, textContent, innerText) => {
    setMessages((all) => [...all, { own: true, text: innerText }]);
    setTyping(true);
    socket.current.send(JSON.stringify({ op: "say", payload: { body: innerText } }));
  };
  return (
    <MainContainer>
      <ChatContainer>
        <MessageList typingIndicator={typing && <TypingIndicator content="Bot is typing" />}>
          {messages.map(({ own, text }, n) => (
            <Message key={n} model={{ direction: own ? "outgoing" : "incoming", position: "single", type: "custom" }}>
              <Message.HtmlContent html={own ? text.replaceAll("<", "&lt;") : marked.parse(text)} />
            </Message>
          ))}
        </MessageList>
        <MessageInput placeholder="Type message here" attachButton={false} onSend={send} />
      </ChatContainer>
    </MainContainer>
  );
}

createRoot(document.getElementById("root")).render(<App />);
