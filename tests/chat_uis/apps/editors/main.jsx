import "./globals.js";
import { EditorState as CodeState, Prec } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { registerPlainText } from "@lexical/plain-text";
import { registerRichText } from "@lexical/rich-text";
import { Editor as Tiptap, Extension } from "@tiptap/core";
import StarterKit from "@tiptap/starter-kit";
import { minimalSetup } from "codemirror";
import { ContentState, Editor as DraftEditor, EditorState as DraftState } from "draft-js";
import { $createParagraphNode, $getRoot, COMMAND_PRIORITY_HIGH, createEditor as createLexical, KEY_ENTER_COMMAND } from "lexical";
import { marked } from "marked";
import Quill from "quill";
import "quill/dist/quill.snow.css";
import { useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { createEditor as createSlate, Editor as SlateEditor, Node, Transforms } from "slate";
import { withHistory } from "slate-history";
import { Editable, Slate, withReact } from "slate-react";

const thread = document.getElementById("thread"), host = document.getElementById("editor");
let read, clear;

function turn(kind, text = "") {
  const element = document.createElement("div");
  element.className = kind;
  element.textContent = text;
  thread.append(element);
  return element;
}

async function answer(prompt, show) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ prompt }),
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
    show(text);
  }
}

function send() {
  const prompt = read().trim();
  if (!prompt) return;
  clear();
  turn("question", prompt);
  const reply = turn("reply");
  answer(prompt, (text) => { reply.innerHTML = marked.parse(text); });
}

function lexical(register) {
  const element = document.createElement("div");
  element.contentEditable = "true";
  element.role = "textbox";
  host.append(element);
  const editor = createLexical({ namespace: "chat", onError: console.error });
  editor.setRootElement(element);
  register(editor);
  editor.registerCommand(KEY_ENTER_COMMAND, (event) => {
    if (event.shiftKey) return false;
    event.preventDefault();
    send();
    return true;
  }, COMMAND_PRIORITY_HIGH);
  read = () => editor.getEditorState().read(() => $getRoot().getTextContent().replace(/\n\n/g, "\n"));
  clear = () => editor.update(() => { $getRoot().clear(); $getRoot().append($createParagraphNode()); });
}

function SlateBox() {
  const editor = useMemo(() => withHistory(withReact(createSlate())), []);
  read = () => editor.children.map((each) => Node.string(each)).join("\n");
  clear = () => {
    Transforms.delete(editor, { at: { anchor: SlateEditor.start(editor, []), focus: SlateEditor.end(editor, []) } });
    while (editor.children.length > 1) Transforms.removeNodes(editor, { at: [1] });
  };
  const onKeyDown = (event) => {
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    send();
  };
  return (
    <Slate editor={editor} initialValue={[{ type: "paragraph", children: [{ text: "" }] }]}>
      <Editable placeholder="Write here" onKeyDown={onKeyDown} />
    </Slate>
  );
}

function DraftBox() {
  const [state, setState] = useState(DraftState.createEmpty());
  read = () => state.getCurrentContent().getPlainText("\n");
  clear = () => setState(DraftState.moveFocusToEnd(DraftState.push(state, ContentState.createFromText(""))));
  const handleReturn = (event) => {
    if (event.shiftKey) return "not-handled";
    send();
    return "handled";
  };
  return <DraftEditor editorState={state} onChange={setState} placeholder="Write here" handleReturn={handleReturn} />;
}

const editors = {
  tiptap() {
    const enter = Extension.create({ addKeyboardShortcuts: () => ({ Enter: () => { send(); return true; } }) });
    const editor = new Tiptap({ element: host, extensions: [enter, StarterKit], content: "" });
    read = () => editor.getText({ blockSeparator: "\n" });
    clear = () => editor.commands.clearContent();
  },
  quill() {
    const enter = { key: "Enter", handler: () => { send(); return false; } };
    const editor = new Quill(host, {
      theme: "snow", placeholder: "Ask anything", modules: { toolbar: false, keyboard: { bindings: { enter } } },
    });
    read = () => editor.getText();
    clear = () => editor.setText("");
  },
  lexical: () => lexical(registerPlainText),
  lexical_rich: () => lexical(registerRichText),
  slate: () => createRoot(host).render(<SlateBox />),
  draft: () => createRoot(host).render(<DraftBox />),
  codemirror() {
    const enter = Prec.highest(keymap.of([{ key: "Enter", run: () => { send(); return true; } }]));
    const view = new EditorView({ parent: host, state: CodeState.create({ extensions: [enter, minimalSetup] }) });
    read = () => view.state.doc.toString();
    clear = () => view.dispatch({ changes: { from: 0, to: view.state.doc.length } });
  },
};

document.getElementById("send").onclick = send;
editors[new URLSearchParams(location.search).get("editor") ?? "tiptap"]();
