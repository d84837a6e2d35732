"""Tokenizers of a few words, for checkpoints that take texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


def clip_tokenizer(words: Iterable[str], **settings: object) -> CLIPTokenizer:
    """Byte pairs that make up these words, letter by letter from the left; other words are unknown."""
    merges = list(dict.fromkeys(pair for word in words for pair in _merges(word)))
    letters = {letter: None for pair in merges for piece in pair for letter in _letters(piece)}
    vocabulary = dict.fromkeys([START, END, *letters, *(left + right for left, right in merges)])
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(vocabulary)}, merges=merges, **settings)


def _merges(word: str) -> Iterator[tuple[str, str]]:
    """Pairs of pieces that grow into the word; its last letter is marked as such."""
    *letters, last = word
    pieces = [*letters, f"{last}</w>"]
    for i in range(1, len(pieces)):
        yield "".join(pieces[:i]), pieces[i]


def _letters(piece: str) -> list[str]:
    body, end, _ = piece.partition("</w>")
    return [*body[:-1], body[-1] + end] if end else list(body)
