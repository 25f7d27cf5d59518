"""Keys on disk: the broker's own pair, the public keys of clients with their roles, and a client's key file.

Layout of the folder (0700): ``server.json`` (0600, the broker's pair, made on first need), ``clients.json`` (0600:
name → public key, role, since when). The secret of a client is in no file but its own, written once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import zmq

from nerv.bus.vocabulary import Role, bad_payload
from nerv.errors import UNDECODABLE, ConfigurationError, ErrorCode, ErrorInfo, NervError, invalid

KEY_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")
"""No dot: a peer is called ``<key>.<anything>``, so that its name tells its key."""
PLAIN = "loopback"
"""Stands for the key of peers that need none (``plain_loopback``)."""
Z85_LENGTH = 40

RoleName = Literal["viewer", "submitter", "operator", "admin"]

T = TypeVar("T")


class _Secret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Its representation, and so any log or traceback, never holds the secret."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}(public={self.public!r})"


class ServerKey(_Secret, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The broker's CURVE pair, in Z85 as ZeroMQ writes it."""


class ClientKey(_Secret, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client's key file holds: its name and role, its pair, and the public key of its broker."""

    name: str
    role: RoleName
    server: str


class KnownKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the broker knows of a client's key. ``created_at``: seconds since the epoch."""

    public: str
    role: RoleName
    created_at: float

    @property
    def rank(self) -> Role:
        return Role[self.role.upper()]


class KeyRing:
    """The keys of one instance. Every change is one atomic replacement of a file, under a lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = folder / "server.json"
        self._clients = folder / "clients.json"

    def server(self) -> ServerKey:
        """The broker's pair, made on first need. Raises ConfigurationError for a file that others may read."""
        with self._locked():
            if self._server.exists():
                return _read(self._server, ServerKey)
            public, secret = zmq.curve_keypair()
            key = ServerKey(public=public.decode(), secret=secret.decode())
            _write(self._server, msgspec.json.encode(key))
            return key

    def known(self) -> dict[str, KnownKey]:
        """Raises ConfigurationError if the file does not decode."""
        try:
            return _decode(self._clients, self._clients.read_bytes(), dict[str, KnownKey])
        except FileNotFoundError:
            return {}

    def mark(self) -> tuple[int, int, int] | None:
        """Changes whenever the list of clients may have changed."""
        try:
            found = self._clients.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def add(self, name: str, role: RoleName, now: float) -> ClientKey:
        """A new key; its secret is in the return value only. Raises INVALID or CONFLICT."""
        if not KEY_NAME.fullmatch(name) or name == PLAIN:
            raise NervError(
                invalid(
                    f"{name!r} cannot name a key",
                    field="name",
                    fix=f"use 1 to 31 of a-z 0-9 _ -, begin with a letter or digit, and not {PLAIN!r}",
                )
            )
        server = self.server()
        with self._locked():
            known = self.known()
            if name in known:
                raise NervError(
                    ErrorInfo(
                        code=ErrorCode.CONFLICT,
                        reason=f"a key is already called {name!r}",
                        field="name",
                        fix=f"choose another name, or `nerv key revoke {name}` first",
                    )
                )
            public, secret = (half.decode() for half in zmq.curve_keypair())
            known[name] = KnownKey(public=public, role=role, created_at=now)
            _write(self._clients, msgspec.json.encode(known))
        return ClientKey(name=name, role=role, public=public, secret=secret, server=server.public)

    def revoke(self, name: str) -> KnownKey:
        """Forget a key; the broker cuts its peers off. Raises NOT_FOUND."""
        with self._locked():
            known = self.known()
            if name not in known:
                raise NervError(
                    ErrorInfo(
                        code=ErrorCode.NOT_FOUND,
                        reason=f"no key is called {name!r}",
                        field="name",
                        fix="`nerv key ls` lists them",
                    )
                )
            gone = known.pop(name)
            _write(self._clients, msgspec.json.encode(known))
        return gone

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def read_client_key(path: Path) -> ClientKey:
    """A client's key file; raises ConfigurationError if it is missing, open to others, or not one."""
    try:
        return _read(path, ClientKey)
    except FileNotFoundError:
        raise ConfigurationError(
            invalid(f"there is no key file {path}", field="key_file", fix="`nerv key new NAME` makes one")
        ) from None


def write_client_key(path: Path, key: ClientKey) -> None:
    """Write it once, for its owner only (0600); raises NervError CONFLICT if the file is there already."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise NervError(
            ErrorInfo(
                code=ErrorCode.CONFLICT,
                reason=f"{path} is there already",
                field="out",
                fix="choose another --out",
            )
        ) from None
    except OSError as error:
        raise NervError(
            invalid(f"{path}: {error.strerror}", field="out", fix="choose another --out")
        ) from None
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(key) + b"\n")


def _read(path: Path, kind: type[T]) -> T:
    """A file that must be its owner's only."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(
            invalid(f"{path} can be read by others", field="key_file", fix=f"chmod 600 {path}")
        )
    return _decode(path, path.read_bytes(), kind)


def _decode(path: Path, content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except UNDECODABLE as error:
        told = bad_payload(path.name, error)
        where = f", at {told.field}" if told.field else ""
        raise ConfigurationError(
            invalid(
                f"{path} is no file of keys: {told.reason}{where}", field="keys", fix="`nerv key` writes it"
            )
        ) from None


def _write(path: Path, content: bytes) -> None:
    """Replace the file as a whole: a reader sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content + b"\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
