# SPDX-License-Identifier: MIT
"""Errors that a person reads: each is a sentence and says what to do next."""

import enum
from collections.abc import Callable
from typing import Self

from ttzo.device_runtime.contract.page import PAGE, WORDS


class ExitCode(enum.IntEnum):
    """What a command ends with; `text` is what `ttzo --help` says of it."""

    text: str

    def __new__(cls, code: int, text: str) -> Self:
        made = int.__new__(cls, code)
        made._value_, made.text = code, text
        return made

    well = 0, "all is well"
    bug = 1, "a bug in ttzo"
    usage = 2, "wrong usage"
    input = 3, "bad input (file, data, model, board)"
    device = 4, "device or line"
    parted = 5, "a comparison parted"
    diverged = 6, "training diverged"
    disk = 7, "the disk is full or cannot be written"
    key = 8, "refused by key"
    interrupted = 130, "interrupted"


class TtzoError(Exception):
    """What went wrong, in a sentence, and what to do next. Every error that ttzo raises for a person is one of these.

    `exit_code` is what a command ends with; without one, that of the class.
    """

    exit_code = ExitCode.input

    def __init__(self, what: str, hint: str = "", exit_code: ExitCode | None = None):
        super().__init__(what)
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class DeviceError(TtzoError):
    """A request that the device refused; nothing on the device has changed. `name` is the contract's."""

    exit_code = ExitCode.device

    def __init__(self, name: str, detail: int = 0):
        text, hint = WORDS["error"][name]
        super().__init__(text.format(detail=_DETAIL_WORDS.get(name, str)(detail)), hint)
        self.name, self.detail = name, detail
        if name == "non_finite":
            self.exit_code = ExitCode.diverged
        elif name in ("locked", "wrong_key", "bad_seal"):
            self.exit_code = ExitCode.key

    @classmethod
    def from_code(cls, code: int, detail: int = 0) -> Self:
        """The error of that code; a code that this contract does not know counts as `bad_contract`."""
        names = {known: name for name, known in PAGE["error"].items()}
        return cls(names.get(code, "bad_contract"), detail)

    @property
    def code(self) -> int:
        """The number by which the link names the error."""
        code: int = PAGE["error"][self.name]
        return code


def error_page() -> dict[int, str]:
    """What each error says, by its code; {detail} stands for its number."""
    return {code: WORDS["error"][name][0] for name, code in PAGE["error"].items()}


# ---- details of errors in words -------------------------------------------------------------------------------------


def setting_name(number: int) -> str:
    """The setting that `bad_setting` and `fixed_at_export` mean by a number (numbered in settings.h)."""
    group, field = divmod(number, PAGE["limit"]["setting_numbers"][0])
    fields = PAGE["struct"]["phase" if group else "training"]["fields"]
    if field >= len(fields):
        return str(number)
    name: str = fields[field][1]
    return f"{name} of phase {group - 1}" if group else name


def _arithmetic_name(number: int) -> str:
    names: dict[int, str] = {code: name for name, (code, _) in PAGE["enum"]["arithmetic"].items()}
    return names.get(number, str(number))


def _part_names(bits: int) -> str:
    return " and ".join(name for name, (bit, _) in PAGE["enum"]["part"].items() if bit & bits) or str(bits)


_DETAIL_WORDS: dict[str, Callable[[int], str]] = {
    "bad_setting": setting_name,
    "fixed_at_export": setting_name,
    "wrong_arithmetic": _arithmetic_name,
    "not_built_in": _part_names,
}  # of the others the number says enough
