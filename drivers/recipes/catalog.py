"""The recipes at hand: those that come with NERV, and the user's own, which win."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import tomllib
from importlib.resources import files
from pathlib import Path

import msgspec
import tomlkit

from drivers.recipes.recipe import Recipe
from nerv.errors import ErrorCode, ErrorInfo, NervError, invalid

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Catalog:
    """Recipes by name. ``user``: the folder that `provider add` writes to (made when first needed).

    Reads the folders anew on every call: another process may have saved a recipe since.
    """

    def __init__(self, *, user: Path | None = None, shipped: Path | None = None) -> None:
        self._user = user
        self._shipped = shipped if shipped is not None else Path(str(files("drivers.recipes"))) / "shipped"
        self._one_thread: dict[Path, tuple[int, bool]] = {}
        """What was read of a file, and when that was changed."""

    def names(self) -> tuple[str, ...]:
        return tuple(sorted({path.stem for folder in self._folders() for path in folder.glob("*.toml")}))

    def one_thread(self) -> frozenset[str]:
        """The names of recipes whose pages all show one conversation; only files that changed are read."""
        chosen: dict[str, Path] = {}
        for folder in reversed(self._folders()):
            chosen |= {path.stem: path for path in folder.glob("*.toml")}
        before, self._one_thread = self._one_thread, {}
        for path in chosen.values():
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                changed = path.stat().st_mtime_ns
                known = before.get(path)
                self._one_thread[path] = (
                    known if known is not None and known[0] == changed else (changed, _is_one_thread(path))
                )
        return frozenset(name for name, path in chosen.items() if self._one_thread.get(path, (0, False))[1])

    def get(self, name: str) -> Recipe:
        """Raises a NervError: UNKNOWN_PROVIDER with the known names, or INVALID with file, line and key."""
        if _NAME.fullmatch(name):
            for folder in self._folders():
                path = folder / f"{name}.toml"
                if path.is_file():
                    return read_recipe(path)
        known = ", ".join(self.names()) or "none"
        raise NervError(
            ErrorInfo(
                code=ErrorCode.UNKNOWN_PROVIDER,
                reason=f"no provider is called {name!r}; known are: {known}",
                field="provider",
                fix="Add it with `nerv provider add URL`.",
            )
        )

    def save(self, recipe: Recipe) -> Path:
        """Write a recipe into the user's folder: whole or not at all, and durable on return."""
        check_name(recipe.name)
        folder = self._writable()
        folder.mkdir(parents=True, exist_ok=True)
        text = write_recipe(recipe)
        path = folder / f"{recipe.name}.toml"
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{recipe.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return path

    def remove(self, name: str) -> None:
        """Forget a recipe of the user's folder. One that comes with NERV cannot be removed."""
        path = self._writable() / f"{name}.toml"
        if _NAME.fullmatch(name) and path.is_file():
            path.unlink()
            return
        recipe = self.get(name)
        raise NervError(
            invalid(
                f"{recipe.name} comes with NERV",
                field="name",
                fix="Save one of the same name to overrule it.",
            )
        )

    def _folders(self) -> tuple[Path, ...]:
        return tuple(
            folder for folder in (self._user, self._shipped) if folder is not None and folder.is_dir()
        )

    def _writable(self) -> Path:
        if self._user is None:
            raise NervError(invalid("this catalogue has no folder of its own to write to", field="user"))
        return self._user


def check_name(name: str) -> None:
    """Raises a NervError unless ``name`` can name a recipe (and its file)."""
    if not _NAME.fullmatch(name):
        raise NervError(
            invalid(
                f"{name!r} cannot name a provider",
                field="name",
                fix="Use up to 63 of a-z, 0-9, dot, dash and underscore, beginning with a letter or a digit.",
            )
        )


def _is_one_thread(path: Path) -> bool:
    try:
        return read_recipe(path).one_thread
    except NervError:
        return False  # nothing can be asked of it; whoever tries is told what is wrong


def read_recipe(path: Path) -> Recipe:
    """Read one recipe. Raises a NervError that names the file and the line or the key."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NervError(
            invalid(f"{path}: {error}", field="recipe", fix="Correct the TOML at that line.")
        ) from error
    except OSError as error:
        raise NervError(
            invalid(f"{path}: {error.strerror}", field="recipe", fix="Make it readable.")
        ) from error
    raw.setdefault("name", path.stem)
    try:
        recipe = msgspec.convert(raw, Recipe)
    except msgspec.ValidationError as error:
        reason, _, key = str(error).partition(" - at ")
        key = key.strip("`").removeprefix("$.") or "(top level)"
        raise NervError(
            invalid(
                f"{path}: {key}: {reason}", field=key, fix="See docs/providers.md for the keys of a recipe."
            )
        ) from error
    if recipe.name != path.stem:
        raise NervError(
            invalid(
                f"{path}: name is {recipe.name!r}", field="name", fix=f"Call it {path.stem!r}, like its file."
            )
        )
    return recipe


def write_recipe(recipe: Recipe) -> str:
    return tomlkit.dumps(msgspec.to_builtins(recipe))
