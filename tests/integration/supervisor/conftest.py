from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.supervisor.harness import Rig


@pytest.fixture
def make_rig(nerv_home: Path) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(tree: str, **options: bool) -> Rig:
        rig = Rig(home=nerv_home, tree=tree, **options)
        made.append(rig)
        return rig

    yield make
    for rig in made:
        rig.destroy()
