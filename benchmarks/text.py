"""Text that looks like English to whatever compresses or compares it, and noise that looks like nothing."""

import random
from itertools import accumulate

VOWELS, CONSONANTS = "aeiou", "bcdfghlmnprstvw"
VOCABULARY = 5_000


class Text:
    """Words of a fixed vocabulary, drawn as in natural language: the n-th word comes 1/n as often as the first."""

    def __init__(self, seed: object) -> None:
        self._random = random.Random(str(seed))
        self._words = _vocabulary()
        self._weights = list(accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))

    def take(self, size: int) -> str:
        """The next `size` characters."""
        words = self._random.choices(self._words, cum_weights=self._weights, k=size // 3)
        return " ".join(words)[:size].ljust(size, ".")


class Noise:
    """Hexadecimal digits, of which no two pieces are alike. They are drawn beforehand: a piece costs a copy."""

    def __init__(self, seed: object, size: int = 1 << 20) -> None:
        self._random = random.Random(str(seed))
        self._digits = self._random.randbytes(size // 2).hex().encode()

    def take(self, size: int) -> bytes:
        """The next piece, ASCII."""
        at = int(self._random.random() * (len(self._digits) - size))
        return self._digits[at : at + size]


def _vocabulary() -> list[str]:
    """Frequent words are short."""
    letters = random.Random("vocabulary")
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        syllables = 1 + len(words) * 3 // VOCABULARY + (letters.random() < 0.4)
        words["".join(letters.choice(CONSONANTS) + letters.choice(VOWELS) for _ in range(syllables))] = None
    return list(words)
