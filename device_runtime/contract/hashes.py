# SPDX-License-Identifier: MIT
"""The numbers by which two sides see whether they were made from the same contract.

`HASH` is that of the whole contract: names, codes, types, order, limits and ranges, and no sentence. `MESSAGE_HASH` has
one for each message, over its code and the bytes of its request and reply, so that hosts and devices of different
contracts still understand the messages that both know: HELLO carries its own hash and that of LEAVE.
"""

import json
import zlib
from typing import Any

from ttzo.device_runtime.contract.page import NUMBER_TYPES, PAGE, split_type


def _crc(structure: Any) -> int:
    return zlib.crc32(json.dumps(structure, separators=(",", ":")).encode())


def _fields(fields: list[list[str]]) -> list[list[str]]:
    return [[kind, name] for kind, name, _ in fields]


def _codes(members: dict[str, list[Any]]) -> list[list[Any]]:
    return [[name, code] for name, (code, _) in members.items()]


def _message(entry: dict[str, Any]) -> list[Any]:
    """Its code, the fields of both sides, and whether bytes may follow them."""
    sides = [[_fields(entry[side]), f"{side}_tail" in entry] for side in ("request", "reply")]
    return [entry["code"], *sides]


def contract_hash(page: dict[str, Any]) -> int:
    """CRC-32 of what host and device must agree on in `page` (the form of contract.toml)."""
    return _crc(
        [
            page["version"],
            _codes(page["limit"]),
            [[name, _codes(members)] for name, members in page["enum"].items()],
            [[name, list(ranges.items())] for name, ranges in page["range"].items()],
            [[name, _fields(entry["fields"])] for name, entry in page["struct"].items()],
            list(page["node_part"].items()),
            [[name, [part[:2] for part in parts]] for name, parts in page["layout"].items()],
            [[name, _message(entry)] for name, entry in page["message"].items()],
            list(page["error"].items()),
        ]
    )


def message_hash(page: dict[str, Any], name: str) -> int:
    """CRC-32 of one message of `page`: its name, code and bytes, those of the records in it included."""

    def whole(fields: list[list[str]]) -> list[Any]:
        return [
            [kind if split_type(kind)[0] in NUMBER_TYPES else whole(page["struct"][kind]["fields"]), field]
            for kind, field, _ in fields
        ]

    entry = page["message"][name]
    sides = [[whole(entry[side]), f"{side}_tail" in entry] for side in ("request", "reply")]
    return _crc([name, entry["code"], *sides])


HASH = contract_hash(PAGE)
MESSAGE_HASH = {name: message_hash(PAGE, name) for name in PAGE["message"]}
