"""The registry of message types: a dotted name, a frozen struct, who may send it, and what answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum, StrEnum
from typing import Any, TypeVar

import msgspec

from nerv.errors import ErrorCode, ErrorInfo, NervError


class Role(IntEnum):
    """What a key may do. A higher role may do all that a lower one may."""

    VIEWER = 1
    SUBMITTER = 2
    OPERATOR = 3
    ADMIN = 4


class Purpose(StrEnum):
    COMMAND = "command"
    REPLY = "reply"
    EVENT = "event"


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every payload. Travels as a MessagePack map of its fields."""


class MessageType(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the vocabulary."""

    name: str
    purpose: Purpose
    struct: type[Message]
    role: Role
    target: str | None
    reply: type[Message] | None
    summary: str
    topic: str = ""
    """Of an event: the class of its topics, ``task`` of ``task.<id>``. The role says who may subscribe to it."""

    def json_schema(self) -> dict[str, Any]:
        return msgspec.json.schema(self.struct)


M = TypeVar("M", bound=Message)


class Vocabulary:
    """Message types by name and by struct. Filled once, while modules are imported."""

    def __init__(self) -> None:
        self._by_name: dict[str, MessageType] = {}
        self._by_struct: dict[type[Message], MessageType] = {}
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {}
        self._encoder = msgspec.msgpack.Encoder()

    def command(
        self, name: str, *, target: str | None, reply: type[Message], role: Role = Role.OPERATOR
    ) -> Callable[[type[M]], type[M]]:
        """Register a command for ``target`` (None: any actor), answered by ``reply``."""
        return self._register(name, Purpose.COMMAND, role, target, reply)

    def reply(self, name: str) -> Callable[[type[M]], type[M]]:
        return self._register(name, Purpose.REPLY, Role.VIEWER, None, None)

    def event(
        self, name: str, *, role: Role = Role.VIEWER, topic: str | None = None
    ) -> Callable[[type[M]], type[M]]:
        """``topic``: the class of its topics, if that is not how its name begins."""
        return self._register(name, Purpose.EVENT, role, None, None, topic or name.partition(".")[0])

    def _register(
        self,
        name: str,
        purpose: Purpose,
        role: Role,
        target: str | None,
        reply: type[Message] | None,
        topic: str = "",
    ) -> Callable[[type[M]], type[M]]:
        def add(struct: type[M]) -> type[M]:
            if name in self._by_name:
                raise ValueError(f"message type {name!r} is registered twice")
            summary = (struct.__doc__ or "").strip().splitlines()[0] if struct.__doc__ else ""
            entry = MessageType(
                name=name,
                purpose=purpose,
                struct=struct,
                role=role,
                target=target,
                reply=reply,
                summary=summary,
                topic=topic,
            )
            self._by_name[name] = entry
            self._by_struct[struct] = entry
            self._decoders[name] = msgspec.msgpack.Decoder(struct)
            return struct

        return add

    def __iter__(self) -> Iterator[MessageType]:
        return iter(sorted(self._by_name.values(), key=lambda entry: entry.name))

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def named(self, name: str) -> MessageType:
        """The entry called ``name``; raises :class:`NervError` UNKNOWN_TYPE."""
        try:
            return self._by_name[name]
        except KeyError:
            raise NervError(
                ErrorInfo(
                    code=ErrorCode.UNKNOWN_TYPE,
                    reason=f"no message type is called {name!r}",
                    field="type",
                    fix="`nerv messages` lists the types",
                )
            ) from None

    def of(self, struct: type[Message]) -> MessageType:
        return self._by_struct[struct]

    def encode(self, message: Message) -> msgspec.Raw:
        return msgspec.Raw(self._encoder.encode(message))

    def encode_named(self, message: Message) -> tuple[str, msgspec.Raw]:
        """The name of its type, and its encoding."""
        return self._by_struct[type(message)].name, msgspec.Raw(self._encoder.encode(message))

    def decode(self, name: str, payload: msgspec.Raw | bytes) -> Message:
        """The typed message; raises :class:`NervError` UNKNOWN_TYPE or BAD_PAYLOAD with the field's path."""
        decoder = self._decoders.get(name)
        if decoder is None:
            self.named(name)
            raise AssertionError("unreachable")
        try:
            message: Message = decoder.decode(payload)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise NervError(bad_payload(name, error)) from None
        return message

    def from_json(self, name: str, text: str | bytes) -> Message:
        """The typed message from JSON (the shell's way in); the same errors as :meth:`decode`."""
        entry = self.named(name)
        try:
            return msgspec.json.decode(text, type=entry.struct)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise NervError(bad_payload(name, error)) from None


def bad_payload(name: str, error: Exception) -> ErrorInfo:
    """msgspec says "Expected `str`, got `int` - at `$.provider`": split it into reason and field."""
    reason, _, path = str(error).partition(" - at `")
    field = path.rstrip("`").removeprefix("$").removeprefix(".") or None
    if field is None and "field `" in reason:
        field = reason.split("field `", 1)[1].split("`", 1)[0]
    return ErrorInfo(
        code=ErrorCode.BAD_PAYLOAD,
        reason=reason,
        field=field,
        fix=f"`nerv messages {name}` prints its JSON Schema",
    )


VOCABULARY = Vocabulary()
"""The one vocabulary of a process. `nerv.messages` and `kernel.messages` fill it when they are imported."""
