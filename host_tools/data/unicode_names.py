# SPDX-License-Identifier: MIT
"""The data set `names`: Unicode names of characters as word numbers, and what kind of character each stands for.

It is made from Python's own `unicodedata.ucd_3_2_0`, a frozen state of the Unicode Character Database that every Python
carries, so that the rows are the same everywhere. Names that only count through a block (CJK ideographs, Hangul
syllables) are left out; 12,735 are left.
"""

import unicodedata
from collections import Counter

import numpy as np

KINDS = ("lowercase letter", "uppercase letter", "other letter", "mark", "number", "symbol", "punctuation")
WORDS, LENGTH = 256, 8
PADDING, UNKNOWN = 0, 1  # token numbers; the others are words, the most frequent first
LAST = 0x2FFFF  # of the characters that have names
COUNTED = ("CJK UNIFIED", "CJK COMPATIBILITY", "HANGUL SYLLABLE")


def rows() -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Tokens uint8 (n, LENGTH), kinds (n,), and the words that the numbers from 2 on stand for."""
    named = list(_named())
    counts = Counter(word for words, _ in named for word in words)
    known = sorted(counts, key=lambda word: (-counts[word], word))[: WORDS - 2]
    number = {word: at + 2 for at, word in enumerate(known)}
    tokens = np.full((len(named), LENGTH), PADDING, np.uint8)
    for row, (words, _) in zip(tokens, named, strict=True):
        row[: len(words)] = [number.get(word, UNKNOWN) for word in words]
    return tokens, np.array([kind for _, kind in named]), tuple(known)


def _named():
    """The first words of each character's name, and its kind."""
    database = unicodedata.ucd_3_2_0
    for code in range(LAST + 1):
        name = database.name(chr(code), "")
        kind = _kind(database.category(chr(code)))
        if name and kind is not None and not name.startswith(COUNTED):
            yield name.replace("-", " ").split()[:LENGTH], kind


def _kind(category: str) -> int | None:
    """A number into `KINDS`; None for spaces and controls."""
    if category in ("Ll", "Lu"):
        return ("Ll", "Lu").index(category)
    return {"L": 2, "M": 3, "N": 4, "S": 5, "P": 6}.get(category[0])
