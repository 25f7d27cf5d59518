"""`import nerv` is cheap, and every public name is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nerv
import nerv.bus


@pytest.mark.parametrize("name", nerv.__all__)
def test_a_public_name_can_be_had(name: str) -> None:
    assert getattr(nerv, name).__name__ if hasattr(getattr(nerv, name), "__name__") else getattr(nerv, name)


def test_names_are_listed_once_and_in_order() -> None:
    for module in (nerv, nerv.bus):
        names = module.__all__
        assert isinstance(names, tuple)
        assert len(set(names)) == len(names)
        assert list(names) == sorted(names, key=lambda name: (not name.isupper(), name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = nerv.no_such_name


def test_importing_nerv_loads_neither_zeromq_nor_asyncio() -> None:
    script = (
        "import sys, nerv; print([name for name in ('zmq', 'asyncio', 'msgspec') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
