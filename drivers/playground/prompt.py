"""What the first words of a prompt ask of the playground.

Standard library only, here, in `reply` and in `script`: the front ends under tests/chat_uis import these
from virtual environments of their own, where nothing of NERV is installed.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

_MAX_ARGUMENT = 3600.0


class Kind(StrEnum):
    """What the reply consists of."""

    DEFAULT = "default"
    LONG = "long"
    CODE = "code"
    UNICODE = "unicode"
    MATH = "math"
    IMAGE = "image"
    SHORT = "short"
    PAUSE = "pause"
    SLOW = "slow"
    ECHO = "echo"
    EMPTY = "empty"


class Fault(StrEnum):
    """What goes wrong. `Fault.NONE` is a page that works."""

    NONE = "none"
    STALL = "stall"
    CUT = "cut"
    REWRITE = "rewrite"
    ERROR = "error"
    RATELIMIT = "ratelimit"
    LOGIN = "login"
    CHALLENGE = "challenge"
    SLOWHYDRATE = "slowhydrate"
    ABSENT = "absent"
    HANG = "hang"
    CRASH = "crash"
    TYPEWRITER = "typewriter"


_FAULT_WORDS = {str(fault): fault for fault in Fault if fault is not Fault.NONE}
_KIND_WORDS = {str(kind): kind for kind in Kind if kind is not Kind.DEFAULT}


@dataclass(frozen=True, kw_only=True, slots=True)
class Directive:
    """The parsed beginning of a prompt; `argument` is None where the word carried no `:number`."""

    fault: Fault = Fault.NONE
    argument: float | None = None
    kind: Kind = Kind.DEFAULT


def normalise(prompt: str) -> str:
    """What a page may do to a prompt on its way (line ends, outer blanks, hard spaces), undone."""
    return prompt.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ").strip()


def digest(prompt: str) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of the normalised prompt."""
    return hashlib.sha256(normalise(prompt).encode()).hexdigest()[:12]


def parse_fault(word: str) -> tuple[Fault, float | None]:
    """Read `stall` or `stall:2.5`. A word that names no fault, or whose number is none, is `Fault.NONE`."""
    name, colon, number = word.partition(":")
    fault = _FAULT_WORDS.get(name, Fault.NONE)
    if fault is Fault.NONE or not colon:
        return fault, None
    try:
        argument = float(number)
    except ValueError:
        return Fault.NONE, None
    # NaN and infinities fail this comparison too.
    return (fault, argument) if 0 <= argument <= _MAX_ARGUMENT else (Fault.NONE, None)


def read(prompt: str) -> Directive:
    """Parse `[fault[:number]] [kind] …`. Only lower case counts: "Cut this" is a plain prompt."""
    words = normalise(prompt).split(maxsplit=2)
    fault, argument = parse_fault(words[0]) if words else (Fault.NONE, None)
    rest = words[1:] if fault is not Fault.NONE else words
    return Directive(
        fault=fault, argument=argument, kind=_KIND_WORDS.get(rest[0], Kind.DEFAULT) if rest else Kind.DEFAULT
    )
