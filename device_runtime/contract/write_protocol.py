# SPDX-License-Identifier: MIT
"""Writes `docs/protocol.md`: the contract for people."""

from typing import Any

from ttzo.device_runtime.contract.hashes import HASH, MESSAGE_HASH
from ttzo.device_runtime.contract.page import FOLDER, NUMBER_TYPES, PAGE, WORDS, split_type
from ttzo.device_runtime.contract.ranges import RANGE, Range
from ttzo.device_runtime.contract.records import RECORD, type_bytes

PATH = FOLDER.resolve().parents[1] / "docs" / "protocol.md"

_HEAD = f"""\
<!-- SPDX-License-Identifier: MIT. Written by `python -m ttzo.device_runtime.contract`; change contract.toml or words.toml. -->
# The protocol and the bundle

What a host and a device agree on, byte by byte. This is contract {PAGE["version"]} with hash `0x{HASH:08X}`, and bundle
format {PAGE["limit"]["bundle_format"][0]}.

Numbers are little-endian and packed, without gaps. `u8`, `u16`, `u32`, `u64` are unsigned, `i16` is signed, `f32` is an
IEEE 754 float of 32 bits; `u16[8]` is an array of eight.

**Compatibility.** The contract's hash covers names, codes, types, order, limits and ranges, and no sentence of this page.
HELLO carries it in both directions. Where the two differ, the device refuses all requests except HELLO, and except LEAVE
if the host's HELLO has the device's hashes of the messages HELLO and LEAVE. A device or host reads the newest bundle
format only: an older bundle is exported again.

## Frames

The host asks, the device answers, one request at a time. On the line a frame stands as COBS (no zero byte inside),
followed by one byte 0. Empty frames mean nothing; a host begins each frame with a further 0, so that what was lost before
it costs only itself.
"""

_AFTER_FRAME = """
A request that arrives twice (same sequence, same bytes) gets the stored answer and is not carried out again; HELLO is
always answered afresh. A damaged frame is answered by the error `bad_frame` under sequence 0. During long work the device
sends PROGRESS under the request's sequence, and answers whatever arrives with PROGRESS too, except CANCEL.

## Sealed frames

A device with a key (HELLO's `access`) refuses requests without a seal by `locked`, and frames whose seal is not right by
`bad_seal`, without carrying anything out and without losing its stored answer. After AUTHENTICATE a request's code has
`sealed` added and its payload ends with a [seal](#frame_seal); so has its answer. PROGRESS and `bad_frame` have no seal. A device
that is in use by another program may say so by the error `in_use` under sequence 0, and hang up.
"""


def page_text() -> str:
    """The text of `docs/protocol.md`."""
    parts = [_HEAD, *_layout("frame"), _AFTER_FRAME, "## Messages\n"]
    for name, entry in PAGE["message"].items():
        parts += _message(name, entry)
    parts += ["## The bundle\n", "The file `model.ttzo`, which `ttzo export` writes.\n", *_layout("bundle")]
    parts += ["## Layouts\n", "`number` is an input on the line: enum number.\n"]
    for name in PAGE["layout"]:
        if name not in ("frame", "bundle"):
            parts += [f"### {name}\n", *_layout(name)]
    parts += ["## Records\n"]
    for name, entry in PAGE["struct"].items():
        parts += [f"### {name}\n", f"{RECORD[name].SIZE} bytes.\n", *_fields(entry["fields"], RANGE.get(name, {}))]
    parts += ["## Enumerations\n"]
    for name, members in PAGE["enum"].items():
        parts += [
            f"### {name}\n",
            *_table(("code", "name", "meaning"), [(c, _code(m), t) for m, (c, t) in members.items()]),
        ]
    limits = [(_code(name), number, text) for name, (number, text) in PAGE["limit"].items()]
    errors = [(code, _code(name), *WORDS["error"][name]) for name, code in PAGE["error"].items()]
    parts += ["## Limits\n", *_table(("name", "number", "meaning"), limits)]
    parts += ["## Errors\n", "`{detail}` is the second number of the message ERROR.\n"]
    parts += _table(("code", "name", "what happened", "what to do"), errors)
    return "\n".join(parts)


def _message(name: str, entry: dict[str, Any]) -> list[str]:
    lines = [
        f"### {name.upper()} ({entry['code']})\n",
        f"{_sentence(entry['text'])} Hash `0x{MESSAGE_HASH[name]:08X}`.\n",
    ]
    for side in ("request", "reply"):
        if name in ("progress", "error") and side == "request":
            continue
        tail = entry.get(f"{side}_tail")
        if entry[side]:
            lines += [f"{side.title()}{f', then {tail}' if tail else ''}:\n", *_fields(entry[side], {})]
        else:
            lines.append(f"{side.title()}: {tail or 'no payload'}.\n")
    return lines


def _fields(fields: list[list[str]], ranges: dict[str, Range]) -> list[str]:
    rows, at = [], 0
    for kind, name, text in fields:
        meaning = "; ".join(part for part in (text, _range(kind, ranges.get(name))) if part)
        rows.append((at, _type(kind), _code(name), meaning))
        at += type_bytes(kind)
    return _table(("byte", "type", "name", "meaning"), rows)


def _range(kind: str, allowed: Range | None) -> str:
    """The range of a setting where the page narrows its type."""
    if allowed is None or kind not in NUMBER_TYPES:
        return ""
    most = "" if allowed.most >= 2.0**31 else f" to {allowed.most:.9g}"
    return f"from {allowed.least:.9g}{most}" if allowed.is_whole or allowed.least >= 0 else ""


def _layout(name: str) -> list[str]:
    return _table(
        ("type", "how many", "meaning"), [(_type(kind), count, text) for kind, count, text in PAGE["layout"][name]]
    )


def _type(kind: str) -> str:
    """A link where the type has a place of its own on the page."""
    base = split_type(kind)[0]
    return f"[{kind}](#{base})" if base in PAGE["struct"] or base in PAGE["layout"] else kind


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _code(name: str) -> str:
    return f"`{name}`"


def _table(heading: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return ["\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in lines) + "\n"]


def _cell(value: Any) -> str:
    """Without what Markdown takes for the end of a cell, or for a link: an array [rows][columns]."""
    return str(value).replace("|", r"\|").replace("][", r"]\[")
