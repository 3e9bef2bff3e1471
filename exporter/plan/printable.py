# SPDX-License-Identifier: MIT
"""Names that come from outside, made fit for terminals and files: a bundle's title, a board's name, a file's name."""

import unicodedata

MOST = 200  # characters of a name
_UNSEEN = {
    "Cc",
    "Cf",
    "Cs",
    "Co",
    "Cn",
    "Zl",
    "Zp",
}  # control, format (also of the writing direction), surrogates, lines


def printable(text: str, keep: str = "") -> str:
    """The text with every character that a terminal obeys instead of showing it written as its escape: an escape
    character becomes the four characters \\x1b. The characters of `keep` stay as they are."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each if each in keep or unicodedata.category(each) not in _UNSEEN else _escape(each) for each in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def printable_name(text: str) -> str:
    """`printable`, cut to `MOST` characters."""
    return printable(text[:MOST])
