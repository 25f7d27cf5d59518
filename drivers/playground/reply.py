"""The reply to a prompt, computed from the prompt alone: a test knows its exact Markdown beforehand."""

import hashlib

from drivers.playground.prompt import Kind, digest, normalise, read

LONG_REPLY_CHARACTERS = 20_000
CODE_REPLY_LINES = 300

_DEFAULT = """\
# Field notes {mark}

The station wrote **{count} entries** today, *most of them before noon*, and ~~lost~~ kept every one.
Run `survey --id {mark}` or read the [protocol {mark}](https://example.com/notes/{mark}?from=1&to=2#part).
A literal 3 \\* 4 stays as it is, and so does snake_case_{short}.

## What was done

1. Calibrated the **north** sensor at `{count} Hz`
2. Walked the transect
   - marker *alder*
   - marker `birch`
     - moved by {count} mm
3. Closed the gate

- [x] samples stored
- [ ] samples labelled

## Readings

| Sensor | State | Value |
|:-------|:-----:|------:|
| north {short} | ok | 12.50 |
| `south` | ok | 7.00 |
| **east** | late | 130.75 |

## How it was computed

```python
def drift_{short}(samples: list[int]) -> float:
    # "{mark}" & <unchecked> 'input'
    kept = [s for s in samples if 0 < s < {count}]

    return sum(kept) / len(kept) if kept else 0.0
```

```
no language here
    $HOME stays, and *stars* stay
```

> The river was high,
> so `transect` two was left out.

---

End of notes {mark}.
"""

_MATH = """
## The model

The slope is $a = \\frac{{dy}}{{dx}}$ and the total

$$
\\sum_{{i=1}}^{{{count}}} i^2 = \\frac{{n(n+1)(2n+1)}}{{6}}
$$

Signed {mark}.
"""

_UNICODE = """\
## Letters {mark}

Faces 🙂 👩‍🔬 👨‍👩‍👧 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🇪🇺 🤝🏿, and scripts: 山の上に雪、长江大桥, 대한민국, ภาษาไทย, हिन्दी.

- Right to left: ערב טוב and صباح الخير
- Combining: o\u0308 c\u0327 u\u0304\u0301 beside ö ç ǖ
- Signs: 𝔐 ∮ ≤ — “quoted” … ⅔
- Unseen: zero\u200bwidth, hard\u00a0space

| 品目 | 数 |
|---|---|
| λ | {count} 個 |

```text
╔═╗ {mark}
╚═╝ ✔ 漢字
```

终 {mark}.
"""

_IMAGE = """\
## Picture {mark}

![a sample {short}](/static/sample.svg)

The picture above is number {count}.
"""


def reply_for(prompt: str) -> str:
    """The exact Markdown that answers `prompt`; "" for the kind `empty`."""
    mark, kind = digest(prompt), read(prompt).kind
    values = {"mark": mark, "short": mark[:4], "count": int(mark[:4], 16) % 900 + 100}
    match kind:
        case Kind.EMPTY:
            return ""
        case Kind.ECHO:
            return _after_word(normalise(prompt), "echo")
        case Kind.SHORT:
            return f"A short answer, {mark}."
        case Kind.CODE:
            return _code(mark)
        case Kind.LONG:
            return _long(mark)
        case Kind.UNICODE:
            return _UNICODE.format_map(values)
        case Kind.IMAGE:
            return _IMAGE.format_map(values)
        case Kind.MATH:
            return _DEFAULT.format_map(values) + _MATH.format_map(values)
        case Kind.DEFAULT | Kind.PAUSE | Kind.SLOW:
            return _DEFAULT.format_map(values)


def pieces(text: str, count: int) -> list[str]:
    """`text` cut into about `count` pieces of uneven, repeatable sizes; joined they are `text` again."""
    size = max(2, round(len(text) / max(1, count)))
    wobble = (0, size // 3, -(size // 4), size // 5, -(size // 3))
    cut: list[str] = []
    at = 0
    while at < len(text):
        step = max(1, size + wobble[len(cut) % len(wobble)])
        cut.append(text[at : at + step])
        at += step
    return cut


def _after_word(prompt: str, word: str) -> str:
    return prompt.split(word, 1)[1].strip()


def _code(mark: str) -> str:
    lines = "".join(f'entry_{n:03} = "{_hash(mark, n)[:10]}"\n' for n in range(CODE_REPLY_LINES))
    return f"The listing {mark}:\n\n```python\n{lines}```\n\nEnd of listing {mark}.\n"


def _long(mark: str) -> str:
    parts = [f"# A long answer {mark}\n"]
    length, number = 0, 0
    while length < LONG_REPLY_CHARACTERS:
        number += 1
        noise = _hash(mark, number)
        part = f"\n## Chapter {number}\n\nIt begins with `{noise[:8]}` and **{noise[8:14]}**. "
        part += "Water finds its way around every stone in the bed. " * 4
        part += f"\n\n- first {noise[14:18]}\n- second {noise[18:22]}\n"
        if number % 5 == 0:
            part += f'\n```js\nconst chapter{number} = "{noise}";\n```\n'
        parts.append(part)
        length += len(part)
    return "".join(parts) + f"\nEnd of the long answer {mark}.\n"


def _hash(mark: str, number: int) -> str:
    return hashlib.sha256(f"{mark}/{number}".encode()).hexdigest()
