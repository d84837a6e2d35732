"""Tokenizers of a few words, for checkpoints that take texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from transformers import BertTokenizer, CLIPTokenizer

_START, _END = "<|startoftext|>", "<|endoftext|>"


def clip_tokenizer(words: Sequence[str], **settings: Any) -> CLIPTokenizer:
    """Byte pairs that make up these words, letter by letter from the left; other letters are unknown.

    As in CLIP's own vocabulary "!" is the first, and the end of a text the last.
    """
    letters = dict.fromkeys(letter for word in words for letter in _letters(word))
    merges = list(dict.fromkeys(pair for word in words for pair in _merges(word)))
    pieces = dict.fromkeys(["!", *letters, *(left + right for left, right in merges), _START, _END])
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges, **settings)


def bert_tokenizer(words: Sequence[str]) -> BertTokenizer:
    """Whole words; those that separate stand where BERT's vocabulary has them, as Grounding DINO expects."""
    numbers = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
    free = iter(sorted(set(range(1050)) - set(numbers.values())))
    vocabulary = {**numbers, **{word: next(free) for word in words}, **{f"[unused{i}]": i for i in free}}
    return BertTokenizer(vocab=vocabulary)


def _letters(word: str) -> list[str]:
    """The last letter of a word is marked as such."""
    return [*word[:-1], f"{word[-1]}</w>"]


def _merges(word: str) -> Iterator[tuple[str, str]]:
    """Pairs of pieces that grow into the word."""
    letters = _letters(word)
    for i in range(1, len(letters)):
        yield "".join(letters[:i]), letters[i]
