"""What may be asked of `provider add`: an address that a browser can open, and a name."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from nerv.errors import ErrorCode, ErrorInfo, invalid

MAX_NAME_CHARS = 63
MAX_PROBE_CHARS = 2_000


def check_address(url: str) -> ErrorInfo | None:
    """None for an http(s) address with a host."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return invalid(
            f"{url!r} is no address: {error}", field="url", fix="give it like https://chat.example"
        )
    if parts.scheme not in ("http", "https") or not host:
        return invalid(f"{url!r} is no address", field="url", fix="give it like https://chat.example")
    if parts.username or parts.password:
        return invalid(
            "the address holds a user name or password", field="url", fix="log in by `nerv account`, not here"
        )
    return None


def check_probe(probe: str | None) -> ErrorInfo | None:
    if probe is None or 1 <= len(probe.strip()) <= MAX_PROBE_CHARS:
        return None
    return invalid(
        "the probe is empty or too long", field="probe", fix=f"use 1 to {MAX_PROBE_CHARS:,} characters"
    )


def name_from(url: str) -> str:
    """A name for the provider at ``url``: its host without www., and the port where it is not the usual one."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.")
    port = f"-{parts.port}" if parts.port else ""
    name = re.sub(r"[^a-z0-9._-]+", "-", f"{host}{port}".lower()).strip("-._")
    return name[:MAX_NAME_CHARS] or "provider"


def taken(name: str, known: Collection[str]) -> ErrorInfo | None:
    """None where no provider is called so yet."""
    if name not in known:
        return None
    return ErrorInfo(
        code=ErrorCode.CONFLICT,
        reason=f"a provider {name!r} is known already",
        field="name",
        fix="choose another with --name, or overrule it with --replace",
    )
