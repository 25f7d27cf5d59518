"""The site over real sockets: each transport carries the exact reply, and ends as it should."""

import asyncio
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from drivers.playground import Pace, Playground, PlaygroundFailed, launch, reply_for
from drivers.playground.prompt import digest

PACE = Pace(chunks=8, seconds=0.08, pause=0.05, slow=0.05)
DEADLINE = 10.0

# One server for all tests here: each speaks in conversations of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Playground]:
    async with launch(pace=PACE) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def http(site: Playground) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=site.url, trust_env=False, timeout=DEADLINE) as client:
        yield client


@pytest.fixture
def chat() -> str:
    """The address of a conversation that no other test has."""
    return f"/api/conversations/{uuid.uuid4()}"


def body(prompt: str, chat: str, via: str = "sse") -> dict[str, str]:
    return {"prompt": prompt, "conversation": chat.rsplit("/", 1)[1], "via": via}


def assembled(events: list[dict[str, str]]) -> str:
    text = ""
    for event in events:
        if event["type"] == "replace":
            text = event["text"]
        elif event["type"] == "delta":
            text += event["text"]
    return text


def sse(text: str) -> list[dict[str, str]]:
    return [json.loads(part.removeprefix("data: ")) for part in text.split("\n\n") if part]


@pytest.mark.parametrize("prompt", ["hello", "rewrite hello", "unicode", "empty", "short"])
async def test_sse_carries_the_reply_from_start_to_end(
    http: httpx.AsyncClient, chat: str, prompt: str
) -> None:
    events = sse((await http.post("/api/send", json=body(prompt, chat))).text)
    assert events[0]["type"] == "start"
    assert events[-1] == {"type": "end", "phase": "done"}
    assert assembled(events) == reply_for(prompt)


async def test_eventsource_follows_a_reply_that_another_request_began(
    http: httpx.AsyncClient, chat: str
) -> None:
    start = (await http.post("/api/send", json=body("hello", chat, "eventsource"))).json()
    assert start["conversation"] == chat.rsplit("/", 1)[1]
    events = sse((await http.get(f"{chat}/stream?via=eventsource")).text)
    assert assembled(events) == reply_for("hello")


async def test_ndjson_carries_the_reply(http: httpx.AsyncClient, chat: str) -> None:
    text = (await http.post("/api/send", json=body("hello", chat, "ndjson"))).text
    assert assembled([json.loads(line) for line in text.splitlines()]) == reply_for("hello")


async def test_chunked_is_the_reply_and_nothing_else(http: httpx.AsyncClient, chat: str) -> None:
    assert (await http.post("/api/send", json=body("hello", chat, "chunked"))).text == reply_for("hello")


async def test_polling_gathers_the_reply(http: httpx.AsyncClient, chat: str) -> None:
    await http.post("/api/send", json=body("hello", chat, "poll"))
    text, phase = "", "generating"
    async with asyncio.timeout(DEADLINE):
        while phase == "generating":
            update = (await http.get(f"{chat}/poll?offset={len(text)}")).json()
            text, phase = text + update["text"], update["phase"]
    assert text == reply_for("hello")


class Words(HTMLParser):
    """The text between the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


async def test_dom_sends_html_without_the_markdown(http: httpx.AsyncClient, chat: str) -> None:
    await http.post("/api/send", json=body("hello", chat, "dom"))
    phase = "generating"
    async with asyncio.timeout(DEADLINE):
        while phase == "generating":
            answer = await http.get(f"{chat}/html")
            phase = answer.headers["X-Phase"]
    words = Words()
    words.feed(answer.text)
    assert f"End of notes {digest('hello')}." in "".join(words.found)
    assert "**" not in answer.text
    assert "```" not in answer.text


async def test_websocket_carries_reply_after_reply_over_one_socket(site: Playground, chat: str) -> None:
    async with connect(site.url.replace("http", "ws") + "ws", proxy=None) as socket:
        for prompt in ("hello", "again"):
            await socket.send(json.dumps({"type": "send", "request": body(prompt, chat, "ws")}))
            events = [json.loads(await asyncio.wait_for(socket.recv(), DEADLINE))]
            while events[-1]["type"] != "end":
                events.append(json.loads(await asyncio.wait_for(socket.recv(), DEADLINE)))
            assert assembled(events) == reply_for(prompt)


@pytest.mark.parametrize("message", ["no json", "{}", '{"type": "send", "request": {"prompt": 1}}'])
async def test_a_bad_frame_is_answered_not_dropped(site: Playground, message: str) -> None:
    async with connect(site.url.replace("http", "ws") + "ws", proxy=None) as socket:
        await socket.send(message)
        assert json.loads(await asyncio.wait_for(socket.recv(), DEADLINE))["type"] == "refused"


async def test_a_reply_goes_on_when_its_reader_goes_away_and_is_counted_once(
    site: Playground, http: httpx.AsyncClient, chat: str
) -> None:
    seen = ""
    async with http.stream("POST", "/api/send", json=body("hello, once", chat)) as response:
        async for line in response.aiter_lines():
            event = json.loads(line.removeprefix("data: ") or "{}")
            seen += event.get("text", "")
            if seen:
                break
    events = sse((await http.get(f"{chat}/stream?offset={len(seen)}")).text)
    assert seen + assembled(events) == reply_for("hello, once")
    assert (await site.stats()).received[digest("hello, once")] == 1


async def test_cut_drops_the_connection_and_the_whole_reply_is_still_there(
    http: httpx.AsyncClient, chat: str
) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/api/send", json=body("cut hello", chat))
    assert assembled(sse((await http.get(f"{chat}/stream")).text)) == reply_for("cut hello")


async def test_stop_ends_a_stalled_reply(site: Playground, http: httpx.AsyncClient, chat: str) -> None:
    await http.post("/api/send", json=body("stall", chat, "poll"))
    assert (await site.stats()).active_generations >= 1
    assert (await http.post(f"{chat}/stop")).json() == {"done": True}
    assert (await http.post(f"{chat}/stop")).json() == {"done": False}
    assert (await http.get(chat)).json()["turns"][0]["phase"] == "stopped"


async def test_gates_refuse_and_count_apart(site: Playground, http: httpx.AsyncClient, chat: str) -> None:
    for prompt, code in (("login x", 401), ("challenge x", 403), ("ratelimit x", 429)):
        answer = await http.post("/api/send", json=body(prompt, chat))
        assert answer.status_code == code
        assert answer.json()["reason"]
    await http.post("/login", data={"next": "/"})
    assert (await http.post("/api/send", json=body("login x", chat))).status_code == 200
    assert (await http.post("/api/send", json=body("ratelimit:1 y", chat))).status_code == 429
    assert (await http.post("/api/send", json=body("ratelimit:1 y", chat))).status_code == 200
    stats = await site.stats()
    assert stats.refused[digest("login x")] == stats.received[digest("login x")] == 1


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/?via=pigeon", 400, "via: 'pigeon'"),
        ("/?ui=paper", 400, "ui: 'paper'"),
        ("/?fault=fire", 400, "fault: 'fire'"),
        ("/c/00000000", 404, "no conversation"),
        ("/static/..%2Fapi.py", 404, ""),
        ("/static/chat.html", 404, "chat.html"),
    ],
)
async def test_a_bad_address_is_told_what_is_wrong(
    http: httpx.AsyncClient, path: str, code: int, words: str
) -> None:
    answer = await http.get(path)
    assert answer.status_code == code
    assert words in answer.text


async def test_the_log_has_a_line_for_the_prompt_and_each_chunk(tmp_path: Path, chat: str) -> None:
    path = tmp_path / "log"
    async with launch(pace=PACE, log=path) as site, httpx.AsyncClient(trust_env=False) as client:
        await client.post(site.url + "api/send", json=body("hello", chat))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["event"] for record in records[:2]] == ["prompt", "chunk"]
    assert sum(record.get("len", 0) for record in records) == len(reply_for("hello"))


async def test_sigterm_ends_it_at_once_even_in_the_middle_of_a_stall(chat: str) -> None:
    async with (
        launch(pace=PACE) as site,
        httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as client,
        client.stream("POST", site.url + "api/send", json=body("stall", chat)) as response,
    ):
        os.kill(site.pid, signal.SIGTERM)
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in response.aiter_bytes():
                pass


async def test_a_port_that_is_taken_is_told(site: Playground) -> None:
    port = int(site.url.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(PlaygroundFailed, match="--host/--port"):
        async with launch(port=port):
            pass
