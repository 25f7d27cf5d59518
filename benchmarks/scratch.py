"""A home for a cluster that lasts as long as one benchmark."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def scratch_home() -> Iterator[Path]:
    """A new directory as NERV_HOME, of this process and all that it starts; gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="nb-"))
    os.environ["NERV_HOME"] = str(home)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)
