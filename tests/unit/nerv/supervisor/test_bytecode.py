from __future__ import annotations

from nerv.supervisor.bytecode import with_bytecode


def test_bytecode_goes_to_the_cache_of_the_user_only_where_none_would_be_written() -> None:
    given = {"PATH": "/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    found = with_bytecode(given)
    assert "PYTHONDONTWRITEBYTECODE" not in found
    assert found["PYTHONPYCACHEPREFIX"].endswith("bytecode")
    assert found["PATH"] == "/bin"


def test_what_the_user_has_arranged_stays() -> None:
    for given in ({"PATH": "/bin"}, {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/x"}):
        assert with_bytecode(given) == given
