"""Compiled bytecode for the processes of a cluster, where the user wants none beside the sources.

Without it every start and restart of an actor compiles all its modules again, which takes three times as long as
the rest of the start together.
"""

from __future__ import annotations

from collections.abc import Mapping

import platformdirs

NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
CACHE = "PYTHONPYCACHEPREFIX"


def with_bytecode(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` with Python's bytecode in the user's cache folder, if it would not be written at all.

    It is valid for any instance: Python checks it against the time and size of its source.
    """
    if not environ.get(NO_BYTECODE) or environ.get(CACHE):
        return dict(environ)
    kept = {name: value for name, value in environ.items() if name != NO_BYTECODE}
    return kept | {CACHE: str(platformdirs.user_cache_path("nerv") / "bytecode")}
