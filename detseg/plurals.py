"""Numbers with their nouns, for messages."""

from __future__ import annotations


def format_count(n: int, noun: str, one: str = "", many: str = "") -> str:
    """Return the number, its noun, which takes a plain -s, and the verb that fits.

    >>> format_count(1, "image"), format_count(12_000, "image"), format_count(1, "task", "was", "were")
    ('1 image', '12,000 images', '1 task was')
    """
    text = f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
    verb = one if n == 1 else many
    return f"{text} {verb}" if verb else text
