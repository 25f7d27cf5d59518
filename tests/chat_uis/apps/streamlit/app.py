"""Streamlit: st.chat_input and st.write_stream. Its command runs this file again for each exchange."""

import os
import sys

if len(sys.argv) == 2:
    command = [sys.executable, "-m", "streamlit", "run", os.path.abspath(__file__)]
    command += ["--server.headless=true", "--server.address=127.0.0.1", f"--server.port={sys.argv[1]}"]
    os.execv(sys.executable, [*command, "--server.fileWatcherType=none", "--browser.gatherUsageStats=false"])

import backend
import streamlit as st

st.title("Assistant")
history = st.session_state.setdefault("history", [])
for role, text in history:
    st.chat_message(role).markdown(text)
if prompt := st.chat_input("Say something"):
    st.chat_message("user").markdown(prompt)
    reply = st.chat_message("assistant").write_stream(backend.chunks(prompt))
    history += [("user", prompt), ("assistant", reply)]
