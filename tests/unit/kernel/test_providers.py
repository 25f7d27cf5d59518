from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.providers import MAX_NAME_CHARS, check_address, check_probe, name_from, taken
from nerv.errors import ErrorCode


@pytest.mark.parametrize("url", ["https://chat.example", "http://127.0.0.1:8000/x?y=1", "http://[::1]:80/"])
def test_an_address_that_a_browser_can_open(url: str) -> None:
    assert check_address(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "chat.example",
        "ftp://x/",
        "file:///etc/passwd",
        "http://",
        "http://x:99999/",
        "http://u:p@x/",
        "http://[",
    ],
)
def test_what_is_no_address_says_so(url: str) -> None:
    error = check_address(url)
    assert error is not None
    assert (error.code, error.field) == (ErrorCode.INVALID, "url")
    assert error.fix


def test_names_come_from_the_host() -> None:
    assert name_from("https://www.chat.example/x") == "chat.example"
    assert name_from("http://127.0.0.1:8000/") == "127.0.0.1-8000"
    assert name_from("http://[::1]/") == "1"


@given(st.text(max_size=80), st.integers(1, 65535))
def test_any_host_gives_a_usable_name(host: str, port: int) -> None:
    url = f"http://{host}:{port}/"
    if check_address(url) is None:
        name = name_from(url)
        assert 1 <= len(name) <= MAX_NAME_CHARS
        assert name[0].isalnum()
        assert name.isascii()


def test_a_name_that_is_taken_and_an_empty_probe_are_refused() -> None:
    assert taken("a", ("b",)) is None
    error = taken("a", ("a",))
    assert error is not None
    assert error.code is ErrorCode.CONFLICT
    assert check_probe(None) is None
    assert check_probe("hi") is None
    assert check_probe(" ") is not None
