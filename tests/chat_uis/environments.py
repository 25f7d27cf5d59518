"""What a front end needs to run: a virtual environment and, for some, npm packages. Made on first use, then kept."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

APPS = Path(__file__).parent / "apps"
INSTALL_SECONDS = 900
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_LOADERS = ("svg", "png", "gif", "woff", "woff2", "ttf", "eot")


class InstallFailed(Exception):
    """A front end's packages could not be installed; the text says which command failed and what it wrote."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a front end's Python is, and the folder that holds its node_modules (None for pure Python)."""

    python: Path
    node: Path | None


def cache_folder() -> Path:
    """`NERV_LAB_CACHE`, else `nerv/chat_uis` in the user's cache directory."""
    chosen = os.environ.get("NERV_LAB_CACHE")
    return Path(chosen) if chosen else user_cache_path("nerv") / "chat_uis"


def names() -> tuple[str, ...]:
    return tuple(sorted(path.parent.name for path in APPS.glob("*/app.py")))


def prepare(name: str) -> Environment:
    """The environment of `name`, installed where it is missing or its sources changed. Raises `InstallFailed`."""
    if name not in names():
        raise InstallFailed(f"there is no front end {name!r}; there are {', '.join(names())}")
    app = APPS / name
    return Environment(python=_venv(app), node=_node(app) if (app / "package.json").exists() else None)


def _venv(app: Path) -> Path:
    requirements = app / "requirements.txt"
    mark = _mark([requirements], PYTHON)
    folder = cache_folder() / "venvs" / mark  # shared by all apps with the same requirements
    python = folder / "bin" / "python"
    with _installing(folder, mark) as missing:
        if missing:
            uv = _tool("uv", "see https://docs.astral.sh/uv/")
            _run([uv, "venv", "--quiet", "--python", PYTHON, str(folder)])
            _run(
                [uv, "pip", "install", "--quiet", "--python", str(python), "--requirement", str(requirements)]
            )
    return python


def _node(app: Path) -> Path:
    sources = sorted(path for path in app.iterdir() if path.suffix in {".json", ".jsx", ".js", ".css"})
    mark = _mark(sources)
    folder = cache_folder() / "npm" / app.name
    with _installing(folder, mark) as missing:
        if missing:
            folder.mkdir(parents=True)
            for source in sources:
                shutil.copy(source, folder)
            npm = _tool("npm", "install Node.js")
            quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--legacy-peer-deps", "--ignore-scripts"]
            _run([npm, "install", *quiet], folder)
            if (folder / "main.jsx").exists():
                _bundle(folder)
    return folder


def _bundle(folder: Path) -> None:
    options = ["--bundle", "--outfile=bundle.js", "--format=esm", "--minify", "--jsx=automatic"]
    options += ["--log-level=error", '--define:process.env.NODE_ENV="production"']
    options += [f"--loader:.{kind}=dataurl" for kind in _LOADERS]
    _run([str(folder / "node_modules" / ".bin" / "esbuild"), "main.jsx", *options], folder)


def _mark(sources: list[Path], extra: str = "") -> str:
    digest = hashlib.sha256(extra.encode())
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@contextmanager
def _installing(folder: Path, mark: str) -> Iterator[bool]:
    """Yields whether `folder` has to be made, alone among processes; marks it complete when that succeeds."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp = folder.parent / f"{folder.name}.stamp"
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = not (stamp.exists() and stamp.read_text() == mark and folder.exists())
        if missing:
            stamp.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
        yield missing
        if missing:
            stamp.write_text(mark)


def _tool(name: str, hint: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise InstallFailed(f"`{name}` is needed to install this front end and is not on the PATH: {hint}")
    return found


def _run(command: list[str], folder: Path | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise InstallFailed(f"{' '.join(command[:3])} … did not end within {INSTALL_SECONDS} s") from None
    if done.returncode:
        wrote = (done.stderr or done.stdout)[-3000:]
        raise InstallFailed(f"{' '.join(command[:3])} … ended with code {done.returncode}:\n{wrote}")
