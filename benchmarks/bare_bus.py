"""The floor for the bus: ROUTER, DEALER and msgspec, brokered, with no feature at all.

`python -m benchmarks.bare_bus ADDRESS` is its broker: it forwards ``[target][body]`` and does nothing else. The peers
keep a table of futures and nothing else: no acknowledgement, no deadline, no duplicates, no credit. Two forms: a
frame for each message, and all messages of one turn of the loop in one frame (as NERV does).
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable

import msgspec
import zmq

_READ_AT_ONCE = 128


class Bare(msgspec.Struct, array_like=True):
    """What a bare loop needs to know: whose answer this is, and the payload."""

    id: int
    reply: bool
    source: str
    payload: msgspec.Raw


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Bare]).decode


class BarePeer:
    """A DEALER in the event loop."""

    def __init__(self, address: str, name: str, *, bundled: bool, answer: Callable[[bytes], bytes]) -> None:
        self._loop = asyncio.get_running_loop()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.ROUTING_ID, name.encode())
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(address)
        self._loop.add_reader(self._socket.fileno(), self._read)
        self._name = name
        self._bundled = bundled
        self._answer = answer
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._out: dict[str, list[Bare]] = {}
        self._scheduled = False

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._context.term()

    async def request(self, target: str, payload: bytes) -> bytes:
        number = next(self._ids)
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[number] = future
        self._put(target, Bare(number, False, self._name, msgspec.Raw(payload)))
        return await future

    def _put(self, target: str, message: Bare) -> None:
        self._out.setdefault(target, []).append(message)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        out, self._out = self._out, {}
        for target, messages in out.items():
            for body in [messages] if self._bundled else [[message] for message in messages]:
                self._socket.send(target.encode(), zmq.SNDMORE)
                self._socket.send(_encode(body))
        if int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        for _ in range(_READ_AT_ONCE):
            try:
                _, body = self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            for message in _decode(body):
                if message.reply:
                    self._waiting.pop(message.id).set_result(bytes(message.payload))
                else:
                    answer = msgspec.Raw(self._answer(bytes(message.payload)))
                    self._put(message.source, Bare(message.id, True, self._name, answer))
        self._loop.call_soon(self._read)


def broker(address: str) -> None:
    """Forward until killed."""
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(address)
    while True:
        source, target, body = socket.recv_multipart()
        socket.send_multipart((target, source, body))


if __name__ == "__main__":
    broker(sys.argv[1])
