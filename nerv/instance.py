"""Where an instance lives: its name and its directories. One place, so that every part agrees."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from nerv.errors import ConfigurationError, invalid

DEFAULT_INSTANCE = "default"
MAX_SOCKET_PATH = 107
"""sun_path is 108 bytes on Linux with its final zero; libzmq refuses longer ones (macOS: 104)."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,30}")


@dataclass(frozen=True, kw_only=True)
class Instance:
    """The directories of one instance. ``NERV_HOME`` puts all of them under one folder (demo, tests, containers).

    ``config``: supervisor.toml, recipes. ``data``: databases (to back up). ``state``: logs.
    ``runtime``: sockets, lock, temporary folders; empty when nothing runs.
    """

    name: str
    config: Path
    data: Path
    state: Path
    runtime: Path

    @classmethod
    def locate(cls, name: str | None = None, environ: dict[str, str] | None = None) -> Instance:
        """From ``--instance`` or ``NERV_INSTANCE``; raises :class:`ConfigurationError` for an unusable one."""
        env = os.environ if environ is None else environ
        chosen = name or env.get("NERV_INSTANCE") or DEFAULT_INSTANCE
        if not _NAME.fullmatch(chosen):
            raise ConfigurationError(
                invalid(
                    f"{chosen!r} is no name of an instance",
                    field="instance",
                    fix="use 1 to 31 of a-z 0-9 . _ - and begin with a letter or digit",
                )
            )
        home = env.get("NERV_HOME")
        if home:
            root = Path(home).expanduser().resolve() / chosen
            found = cls(
                name=chosen,
                config=Path(home).expanduser().resolve() / "config",
                data=root / "data",
                state=root / "state",
                runtime=root / "run",
            )
        else:
            found = cls(
                name=chosen,
                config=platformdirs.user_config_path("nerv"),
                data=platformdirs.user_data_path("nerv") / chosen,
                state=platformdirs.user_state_path("nerv") / chosen,
                runtime=_runtime_root(env) / chosen,
            )
        longest = max(
            (found.command_socket, found.event_in_socket, found.event_out_socket), key=lambda p: len(str(p))
        )
        if len(os.fsencode(longest)) > MAX_SOCKET_PATH:
            raise ConfigurationError(
                invalid(
                    f"the socket path {longest} is longer than the system allows ({MAX_SOCKET_PATH} bytes)",
                    field="NERV_HOME",
                    fix="choose a shorter NERV_HOME or instance name",
                )
            )
        return found

    @property
    def command_socket(self) -> Path:
        return self.runtime / "bus.sock"

    @property
    def event_in_socket(self) -> Path:
        """Where peers publish (the broker's XSUB)."""
        return self.runtime / "pub.sock"

    @property
    def event_out_socket(self) -> Path:
        """Where peers subscribe (the broker's XPUB)."""
        return self.runtime / "sub.sock"

    @property
    def bus_lock(self) -> Path:
        return self.runtime / "bus.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held (flock) by the running supervisor; holds its pid and run marker as JSON."""
        return self.runtime / "supervisor.lock"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def keys(self) -> Path:
        """The broker's own CURVE pair, and the public keys of clients with their roles."""
        return self.data / "keys"

    @property
    def scratch(self) -> Path:
        """TMPDIR of actors, one folder each; swept when the actor is reaped and at the next start."""
        return self.runtime / "tmp"

    @property
    def recipes(self) -> Path:
        """Where discovered and user-made recipes are kept; shared by the instances of one user."""
        return self.config / "providers"

    def create(self) -> None:
        """Make the directories; the runtime one is for this user only (0700), whatever it was before."""
        for folder in (self.config, self.data, self.state, self.logs, self.recipes):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.runtime, self.scratch):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)


def _runtime_root(env: os._Environ[str] | dict[str, str]) -> Path:
    given = env.get("XDG_RUNTIME_DIR")
    if given:
        return Path(given) / "nerv"
    return Path("/tmp") / f"nerv-{os.getuid()}"
