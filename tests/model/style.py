"""How a text is written, in the modern view, plainly."""

from __future__ import annotations

SPACE = b" \t\n\v\f\r"


def style(text: bytes) -> set[str]:
    """The names of the features of one text, in UTF-8."""
    text = text.rstrip(SPACE)
    if not text:
        return set()
    lines = text.split(b"\n")
    letters = sum(bytes([byte]).isalpha() for byte in text)
    capitals = sum(bytes([byte]).isupper() for byte in text)
    digits = sum(bytes([byte]).isdigit() for byte in text)
    filled = [line for line in lines if line.strip(SPACE)]
    shares = {
        "capitals in 1,000 letters": 1000 * capitals // max(letters, 1),
        "digits in 1,000 characters": 1000 * digits // len(text),
        "exclamation marks in 10,000 characters": 10_000 * text.count(b"!") // len(text),
        "question marks in 10,000 characters": 10_000 * text.count(b"?") // len(text),
        "dollar signs in 10,000 characters": 10_000 * text.count(b"$") // len(text),
        "apostrophes in 10,000 characters": 10_000 * text.count(b"'") // len(text),
        "commas in 10,000 characters": 10_000 * text.count(b",") // len(text),
        "empty lines in 100": 100 * (len(lines) - len(filled)) // len(lines),
        "indented lines in 100": 100 * sum(line[:1] in (b" ", b"\t") for line in filled) // len(lines),
        "quoted lines in 100": 100 * sum(line.strip(SPACE)[:1] == b">" for line in filled) // len(lines),
        "characters in a line": len(text) // len(lines),
        "characters in the longest line": max(len(line) for line in lines),
    }
    return {f"{name}: about {_first_two_bits(number)}" for name, number in shares.items()}


def _first_two_bits(number: int) -> int:
    less = max(number.bit_length() - 2, 0)
    return number >> less << less
