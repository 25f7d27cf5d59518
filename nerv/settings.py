"""Typed settings of an actor, from its `settings` table in supervisor.toml."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from nerv.bus.vocabulary import bad_payload
from nerv.errors import ConfigurationError, invalid

S = TypeVar("S", bound=msgspec.Struct)


def decode_settings(table: dict[str, Any], kind: type[S], *, actor: str) -> S:
    """The table as ``kind``; raises :class:`ConfigurationError` that names the key and what it may be."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        told = bad_payload(actor, error)
        known = ", ".join(field.name for field in msgspec.structs.fields(kind))
        key = f"actor.{actor}.settings" + (f".{told.field}" if told.field else "")
        raise ConfigurationError(
            invalid(told.reason, field=key, fix=f"the settings of this actor are: {known}")
        ) from None
