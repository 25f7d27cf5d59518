"""A small child that follows the contract of an actor's process, or breaks it on purpose. Standard library only.

NERV_SETTINGS: {"do": [...]} with the words below.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

settings = json.loads(os.environ["NERV_SETTINGS"])
do = settings.get("do", [])
status = int(os.environ["NERV_STATUS_FD"])
parent = int(os.environ["NERV_PARENT_FD"])

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
BROWSER = (
    "import subprocess, sys, time; "
    f"subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True, env={{}}); "
    "time.sleep(600)"
)


def log(word: str) -> None:
    with open(settings["log"], "a") as file:
        file.write(f"{time.monotonic():.3f} {os.environ['NERV_ACTOR']} {word} {os.getpid()}\n")


def watch_parent() -> None:
    os.read(parent, 1)
    os._exit(3)


if "deaf" not in do:
    threading.Thread(target=watch_parent, daemon=True).start()

log("start")
for word in do:
    name, _, value = word.partition(":")
    if name == "family":  # like a browser: a helper in a session of its own, that makes another, that hides
        subprocess.Popen([sys.executable, "-c", BROWSER], start_new_session=True)
        subprocess.Popen([sys.executable, "-c", STUBBORN])
    elif name == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif name == "exit":
        sys.exit(int(value))
    elif name == "exit_once":
        if not os.path.exists(settings["log"] + ".once"):
            open(settings["log"] + ".once", "w").close()
            sys.exit(int(value))
    elif name == "slow":
        time.sleep(float(value))
    elif name == "never":
        time.sleep(600)
    elif name == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif name == "eat":
        hoard = b"x" * (int(value) * 1_000_000)
    elif name == "ready_then_exit":
        os.write(status, b"ready\n")
        sys.exit(int(value))

stopping = threading.Event()
if "stubborn" not in do:
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
log("ready")
os.write(status, b"ready\n")
if "freeze" in do:
    os.kill(os.getpid(), signal.SIGSTOP)
while not stopping.wait(0.05):
    continue
log("stop")
sys.exit(0)
