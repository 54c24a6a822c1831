"""The words of a text in the modern view, plainly: character by character, with Python's own tables."""

from __future__ import annotations

import itertools
import unicodedata

BREAKS = {chr(code) for code in range(33)} | {"\x7f"} | set("<>\"'(){}[];,=|*`~^\\")
LONGEST = 60

SCRIPTS = (
    "CJK ",
    "HIRAGANA",
    "KATAKANA",
    "HANGUL",
    "THAI",
    "LAO ",
    "MYANMAR",
    "KHMER",
    "TIBETAN",
    "BOPOMOFO",
    "HALFWIDTH",
)


def words(text: str) -> set[str]:
    """The words of a text that has fewer of them than are looked at."""
    found: set[str] = set()
    for piece in "".join(" " if character in BREAKS else character for character in text).split(" "):
        found |= _ascii(piece) if piece.isascii() else _wide(piece)
    return found


def _ascii(piece: str) -> set[str]:
    word = piece.lower()[:LONGEST]
    return {word[:1] + word[1:].rstrip(".:?")} if word else set()


def _wide(piece: str) -> set[str]:
    """Letters in words, characters of dense scripts in pairs with their neighbours."""
    shown = [character for character in piece if not _invisible(character)]
    found, word, dense = set(), "", ""
    for character in [*shown, " "]:
        if _dense(character):
            dense += character
        elif dense:
            found |= _pairs(dense)
            dense = ""
        if _dense(character) or _separates(character):
            found |= _folded(word)
            word = ""
        else:
            word += character
    return found


def _folded(word: str) -> set[str]:
    word = word[:LONGEST]
    word = word[:1] + word[1:].rstrip(".:?")
    if any("\u0300" <= character < "\u0370" for character in word):
        word = unicodedata.normalize("NFKC", word)[:LONGEST]
    return {"".join(map(_fold, word))} if word else set()


def _pairs(dense: str) -> set[str]:
    folded = [_fold(character) for character in dense]
    return {a + b for a, b in itertools.pairwise(folded)} if len(folded) > 1 else set(folded)


def _fold(character: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).casefold())


def _invisible(character: str) -> bool:
    return unicodedata.category(character) == "Cf" or character in "\u034f\u115f\u1160\u3164\ufe0f"


def _dense(character: str) -> bool:
    category = unicodedata.category(character)
    script = unicodedata.name(character, "").startswith(SCRIPTS) and not category.startswith("P")
    return script or category == "So"


def _separates(character: str) -> bool:
    return character == " " or (ord(character) >= 128 and unicodedata.category(character)[0] in "ZPC")
