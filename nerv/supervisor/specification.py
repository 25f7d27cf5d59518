"""supervisor.toml as typed structs: which actors there are, in which groups, under which limits.

Reading it changes nothing. Each error names the file, the line, the key and the fix.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from nerv.errors import ConfigurationError, invalid
from nerv.instance import Instance
from nerv.supervisor.restart import Policy, RestartType, Strategy
from nerv.supervisor.source_lines import SourceLines

FILE_NAME = "supervisor.toml"
BUS = "bus"
"""The actor that is the broker. Its sign of life is the supervisor's own link to it."""
RESERVED_NAMES = frozenset({"supervisor", "watchdog"})
MAX_COUNT = 256

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_RUN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[supervisor]``: what holds where an actor or group says nothing else. Times in seconds."""

    start_seconds: Seconds = 20.0
    stop_seconds: Seconds = 10.0
    stop_total_seconds: Seconds = 45.0
    abort_seconds: Seconds = 1.0
    tick_seconds: Seconds = 1.0
    tick_misses: Count = 5
    sample_seconds: Seconds = 2.0
    restart_limit: Count = 5
    restart_seconds: Seconds = 30.0
    backoff_min_seconds: Seconds = 0.5
    backoff_max_seconds: Seconds = 30.0
    parked_seconds: Seconds = 30.0


class _GroupTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    strategy: Strategy = Strategy.ONE_FOR_ONE
    after: tuple[str, ...] | None = None
    restart_limit: Count = 20
    restart_seconds: Seconds = 60.0


class _ActorTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    group: str
    run: str
    count: Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)] | None = None
    restart: RestartType = RestartType.PERMANENT
    start_seconds: Seconds | None = None
    stop_seconds: Seconds | None = None
    tick_seconds: Seconds | None = None
    tick_misses: Count | None = None
    memory_mb: Annotated[int, msgspec.Meta(ge=1)] | None = None
    restart_limit: Count | None = None
    restart_seconds: Seconds | None = None
    settings: dict[str, Any] = {}


class GroupSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One group. Its actors start when those of the groups in ``after`` are ready."""

    name: str
    strategy: Strategy
    after: tuple[str, ...]


class ActorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One actor with everything resolved: defaults filled in, count expanded. Times in seconds."""

    name: str
    group: str
    run: str
    restart: RestartType
    start_seconds: float
    stop_seconds: float
    silence_seconds: float
    """Without a tick for so long, a ready actor counts as hung."""
    memory_bytes: int | None
    policy: Policy
    settings: msgspec.Raw
    """JSON, handed to the actor as it is."""

    def needs_restart(self, other: ActorSpec) -> bool:
        """Whether a running actor has to be restarted to become ``other``; limits are adopted in place."""
        return (self.group, self.run, bytes(self.settings)) != (other.group, other.run, bytes(other.settings))


class Specification(msgspec.Struct, frozen=True, kw_only=True):
    """The whole tree. Groups and actors are in order of start; the order of stop is its reverse."""

    path: str
    limits: Limits
    groups: tuple[GroupSpec, ...]
    actors: tuple[ActorSpec, ...]

    def group(self, name: str) -> GroupSpec:
        return next(group for group in self.groups if group.name == name)

    def actor(self, name: str) -> ActorSpec | None:
        return next((actor for actor in self.actors if actor.name == name), None)

    def members(self, group: str) -> tuple[ActorSpec, ...]:
        return tuple(actor for actor in self.actors if actor.group == group)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload changes. ``adjusted`` actors take new limits without a restart."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    adjusted: tuple[str, ...] = ()


def difference(old: Specification, new: Specification) -> Difference:
    """What has to happen to turn a running ``old`` into ``new``."""
    before = {actor.name: actor for actor in old.actors}
    after = {actor.name: actor for actor in new.actors}
    common = [name for name in after if name in before]
    return Difference(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        restarted=tuple(name for name in common if before[name].needs_restart(after[name])),
        adjusted=tuple(
            name
            for name in common
            if before[name] != after[name] and not before[name].needs_restart(after[name])
        ),
    )


def find_specification(instance: Instance, given: Path | None = None) -> Path:
    """The file to use: the one given, else the user's own, else the one that NERV ships."""
    if given is not None:
        return given
    own = instance.config / FILE_NAME
    if own.exists():
        return own
    shipped = Path(__file__).with_name(FILE_NAME)
    if shipped.exists():
        return shipped
    return Path(__file__).resolve().parents[2] / FILE_NAME  # a checkout: the file is at the root


def load_specification(path: Path) -> Specification:
    """Read and check a file; raises :class:`ConfigurationError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(
            invalid(f"cannot read {path}: {reason}", field="config", fix="give a readable file with --config")
        ) from None
    return parse(text, path)


def parse(text: str, path: Path, *, check_modules: bool = True) -> Specification:
    """Check the text of a supervisor.toml; ``path`` is only for messages."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = found.group(1) if found else str(len(text.splitlines()) or 1)
        raise ConfigurationError(
            invalid(
                f"{path}, line {line}: no valid TOML: {str(error).split(' (at ')[0]}",
                field="config",
                fix="see https://toml.io for the syntax",
            )
        ) from None
    return _Reader(raw, SourceLines(text), path, check_modules=check_modules).specification()


T = TypeVar("T")


class _Reader:
    def __init__(self, raw: dict[str, Any], lines: SourceLines, path: Path, *, check_modules: bool) -> None:
        self._raw = raw
        self._lines = lines
        self._path = path
        self._check_modules = check_modules

    def specification(self) -> Specification:
        self._known_keys((), self._raw, ("supervisor", "group", "actor"))
        limits = self._table(("supervisor",), self._raw.get("supervisor", {}), Limits)
        if limits.backoff_max_seconds < limits.backoff_min_seconds:
            raise self._error(
                ("supervisor", "backoff_max_seconds"),
                "is smaller than backoff_min_seconds",
                "make it at least as large",
            )
        groups: dict[str, tuple[GroupSpec, _GroupTable]] = {}
        for name, raw in self._tables("group"):
            groups[name] = self._group(name, raw, tuple(groups))
        actors: dict[str, ActorSpec] = {}
        for name, raw in self._tables("actor"):
            for actor in self._actor(name, raw, groups, limits):
                if actor.name in actors:
                    raise self._error(
                        ("actor", name), f"makes a second actor called {actor.name!r}", "rename one of them"
                    )
                actors[actor.name] = actor
        if BUS not in actors:
            raise self._error(
                ("actor",), f"there is no actor {BUS!r}", f"add [actor.{BUS}]: all others need it"
            )
        order = list(groups)
        return Specification(
            path=str(self._path),
            limits=limits,
            groups=tuple(group for group, _ in groups.values()),
            actors=tuple(sorted(actors.values(), key=lambda actor: order.index(actor.group))),
        )

    def _group(self, name: str, raw: Any, earlier: tuple[str, ...]) -> tuple[GroupSpec, _GroupTable]:
        table = self._table(("group", name), raw, _GroupTable)
        after = earlier[-1:] if table.after is None else table.after
        for other in after:
            if other not in earlier:
                raise self._error(
                    ("group", name, "after"),
                    f"names {other!r}, which is no group written above it",
                    _choices(other, earlier) if earlier else "the first group has nothing to wait for",
                )
        return GroupSpec(name=name, strategy=table.strategy, after=after), table

    def _actor(
        self, name: str, raw: Any, groups: dict[str, tuple[GroupSpec, _GroupTable]], limits: Limits
    ) -> list[ActorSpec]:
        at = ("actor", name)
        if name in RESERVED_NAMES:
            raise self._error(at, f"the name {name!r} is taken by NERV itself", "choose another name")
        table = self._table(at, raw, _ActorTable)
        if table.group not in groups:
            raise self._error(
                (*at, "group"), f"{table.group!r} is no group", _choices(table.group, tuple(groups))
            )
        self._runnable((*at, "run"), table.run)
        group = groups[table.group][1]
        spec = ActorSpec(
            name=name,
            group=table.group,
            run=table.run,
            restart=table.restart,
            start_seconds=table.start_seconds or limits.start_seconds,
            stop_seconds=table.stop_seconds or limits.stop_seconds,
            silence_seconds=(table.tick_seconds or limits.tick_seconds)
            * (table.tick_misses or limits.tick_misses),
            memory_bytes=None if table.memory_mb is None else table.memory_mb * 1_000_000,
            policy=Policy(
                limit=table.restart_limit or limits.restart_limit,
                window=table.restart_seconds or limits.restart_seconds,
                backoff_min=limits.backoff_min_seconds,
                backoff_max=limits.backoff_max_seconds,
                parked=limits.parked_seconds,
                group_limit=group.restart_limit,
                group_window=group.restart_seconds,
            ),
            settings=msgspec.Raw(msgspec.json.encode(table.settings, order="deterministic")),
        )
        if table.count is None:
            return [spec]
        return [
            msgspec.structs.replace(spec, name=f"{name}-{number}") for number in range(1, table.count + 1)
        ]

    def _runnable(self, at: tuple[str, ...], run: str) -> None:
        if not _RUN.fullmatch(run):
            raise self._error(at, f"{run!r} is no `module:Class`", 'write it like "actors.queue:QueueActor"')
        if not self._check_modules:
            return
        module = run.partition(":")[0]
        try:
            found = importlib.util.find_spec(module)
        except ImportError:
            found = None
        if found is None:
            raise self._error(
                at, f"there is no module {module!r}", "check its spelling and that it is installed"
            )

    def _tables(self, kind: str) -> list[tuple[str, Any]]:
        raw = self._raw.get(kind, {})
        if not isinstance(raw, dict):
            raise self._error((kind,), "is no table", f"write [{kind}.NAME] tables")
        for name in raw:
            if not _NAME.fullmatch(name):
                raise self._error(
                    (kind, name), f"{name!r} is no name", "use a-z 0-9 _ -, beginning with a letter"
                )
        return list(raw.items())

    def _known_keys(self, at: tuple[str, ...], raw: dict[str, Any], known: tuple[str, ...]) -> None:
        for key in raw:
            if key not in known:
                raise self._error((*at, key), f"unknown key {key!r}", _choices(key, known))

    def _table(self, at: tuple[str, ...], raw: Any, shape: type[T]) -> T:
        if not isinstance(raw, dict):
            raise self._error(at, "is no table", f"write [{'.'.join(at)}] and its keys below")
        fields = msgspec.structs.fields(shape)  # type: ignore[arg-type]
        self._known_keys(at, raw, tuple(field.name for field in fields))
        try:
            return msgspec.convert(raw, shape)
        except msgspec.ValidationError as error:
            reason, _, where = str(error).partition(" - at `$")
            key = tuple(re.findall(r"[A-Za-z_]\w*", where))
            fix = "see the comments of the supervisor.toml that NERV ships"
            if missing := re.search(r"required field `(\w+)`", reason):
                key, reason = (missing.group(1),), "is missing"
            elif key and (kind := _enums(shape).get(key[0])):
                fix = _choices(str(raw[key[0]]), tuple(str(one) for one in kind))
            raise self._error((*at, *key), _plain(reason), fix) from None

    def _error(self, at: tuple[str, ...], reason: str, fix: str) -> ConfigurationError:
        key = ".".join(at)
        return ConfigurationError(
            invalid(f"{self._path}, line {self._lines.of(at)}: {reason}", field=key, fix=fix)
        )


def _enums(shape: type[Any]) -> dict[str, type[Strategy] | type[RestartType]]:
    return {"strategy": Strategy} if shape is _GroupTable else {"restart": RestartType}


def _choices(wrong: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{meant}known here: {', '.join(known)}" if known else "none is defined in this file"


def _plain(reason: str) -> str:
    """msgspec speaks of Python's types in backquotes; say it for the reader of a TOML file."""
    words = {"`str`": "a text", "`int`": "a whole number", "`float`": "a number", "`bool`": "true or false",
             "`array`": "an array", "`object`": "a table", "`null`": "nothing"}  # fmt: skip
    text = reason.replace(" | null", "")
    for name, word in words.items():
        text = text.replace(name, word)
    return text[:1].lower() + text[1:]
