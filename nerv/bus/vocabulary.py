"""The registry of message types: a dotted name, a frozen struct, who may send it, and what answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum, StrEnum
from typing import Any, Generic, TypeVar, get_args

import msgspec

from nerv.errors import UNDECODABLE, ErrorCode, ErrorInfo, NervError, invalid


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


R = TypeVar("R", bound=Message)
R_co = TypeVar("R_co", bound=Message, covariant=True)


class Command(Message, Generic[R_co], frozen=True, kw_only=True):
    """Base of the messages that ask for something: ``class TaskGet(Command[TaskView])`` is answered by a TaskView."""


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
C = TypeVar("C", bound=Command[Any])


class Vocabulary:
    """Message types by name and by struct. Filled once, while modules are imported."""

    def __init__(self) -> None:
        self._by_name: dict[str, MessageType] = {}
        self._by_struct: dict[type[Message], MessageType] = {}
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {}
        self._encoder = msgspec.msgpack.Encoder()
        self._answers: dict[type[Message], tuple[str, Callable[[msgspec.Raw | bytes], Any]]] = {}

    def command(
        self, name: str, *, target: str | None, role: Role = Role.OPERATOR
    ) -> Callable[[type[C]], type[C]]:
        """Register a command for ``target`` (None: any actor). Its base says what answers it."""

        def add(struct: type[C]) -> type[C]:
            return self._add(struct, name, Purpose.COMMAND, role, target=target, reply=_reply_of(struct))

        return add

    def reply(self, name: str) -> Callable[[type[M]], type[M]]:
        return self._register(name, Purpose.REPLY, Role.VIEWER)

    def event(
        self, name: str, *, role: Role = Role.VIEWER, topic: str | None = None
    ) -> Callable[[type[M]], type[M]]:
        """``topic``: the class of its topics, if that is not how its name begins."""
        return self._register(name, Purpose.EVENT, role, topic or name.partition(".")[0])

    def _register(
        self, name: str, purpose: Purpose, role: Role, topic: str = ""
    ) -> Callable[[type[M]], type[M]]:
        def add(struct: type[M]) -> type[M]:
            return self._add(struct, name, purpose, role, topic=topic)

        return add

    def _add(
        self,
        struct: type[M],
        name: str,
        purpose: Purpose,
        role: Role,
        *,
        target: str | None = None,
        reply: type[Message] | None = None,
        topic: str = "",
    ) -> type[M]:
        if name in self._by_name:
            raise ValueError(f"message type {name!r} is registered twice")
        entry = MessageType(
            name=name,
            purpose=purpose,
            struct=struct,
            role=role,
            target=target,
            reply=reply,
            summary=(struct.__doc__ or "").strip().partition("\n")[0],
            topic=topic,
        )
        self._by_name[name] = entry
        self._by_struct[struct] = entry
        self._decoders[name] = msgspec.msgpack.Decoder(struct)
        return struct

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
        except UNDECODABLE as error:
            raise NervError(bad_payload(name, error)) from None
        return message

    def decode_reply(self, command: Command[R], name: str, payload: msgspec.Raw | bytes) -> R:
        """The answer to ``command``; raises as :meth:`decode`, and BAD_PAYLOAD if it is another type's."""
        expected, decode = self._answers.get(type(command)) or self._answer_of(type(command))
        try:
            if name == expected:
                answer: R = decode(payload)
                return answer
        except UNDECODABLE as error:
            raise NervError(bad_payload(name, error)) from None
        self.named(name)
        raise NervError(
            ErrorInfo(
                code=ErrorCode.BAD_PAYLOAD,
                reason=f"{type(command).__name__} was answered with {name!r}",
                field="type",
                fix="are both sides of the same version?",
            )
        )

    def _answer_of(self, struct: type[Message]) -> tuple[str, Callable[[msgspec.Raw | bytes], Any]]:
        """What answers a command, kept: its name and how to read it."""
        reply = self._by_struct[struct].reply
        assert reply is not None, "only commands are answered"
        name = self._by_struct[reply].name
        found = self._answers[struct] = (name, self._decoders[name].decode)
        return found

    def parse(self, name: str, json: str | bytes, target: str | None = None) -> tuple[str, Command[Any]]:
        """A command given by its name and JSON, and whom it is for (``target`` only where the type names nobody).

        Raises :class:`NervError` UNKNOWN_TYPE, BAD_PAYLOAD as :meth:`decode` does, or INVALID with field ``type`` (it
        is no command) or ``target``.
        """
        entry = self.named(name)
        if not issubclass(entry.struct, Command):
            raise NervError(
                invalid(
                    f"{name} is no command but a {entry.purpose}",
                    field="type",
                    fix="`nerv messages` shows which types are commands",
                )
            )
        to = target or entry.target
        if to is None:
            raise NervError(
                invalid(
                    f"{name} has no actor of its own",
                    field="target",
                    fix="name one: --target driver-1 (`nerv send`), target= in Python",
                )
            )
        try:
            return to, msgspec.json.decode(json, type=entry.struct)
        except UNDECODABLE as error:
            raise NervError(bad_payload(name, error)) from None


def _reply_of(struct: type[Command[Any]]) -> type[Message]:
    """What stands between the brackets of its base."""
    for base in getattr(struct, "__orig_bases__", ()):
        for reply in get_args(base):
            if isinstance(reply, type) and issubclass(reply, Message):
                return reply
    raise TypeError(f"{struct.__name__} does not say what answers it: derive it from Command[…]")


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
