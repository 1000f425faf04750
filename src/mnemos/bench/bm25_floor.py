"""The floor every recall number is printed beside: plain BM25, one document per turn.

Written from the formula and sharing no code with the library, so that a fault of the library's
index shows as a difference. Words are lower-cased and not stemmed, no word is left out, Chinese,
Japanese and Korean runs become pairs of characters, and a document is ``speaker: text caption``.
With N documents, n of them holding the word, f occurrences in a document of length L:

``sum over the question's distinct words of ln(1 + (N - n + 0.5) / (n + 0.5))
* f * (k1 + 1) / (f + k1 * (1 - b + b * L / mean L))``, k1 = 1.2, b = 0.75.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log

from mnemos.types import Draft, Text

K1 = 1.2
B = 0.75

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_RUNS = re.compile(rf"[{_CJK}]+|[^\W{_CJK}]+")
_IS_CJK = re.compile(rf"[{_CJK}]")


def floor_words(text: str) -> list[str]:
    """Return the words of a text in order.

    >>> floor_words("Ana's 北京公园")
    ['ana', 's', '北京', '京公', '公园']
    """
    found: list[str] = []
    for run in _RUNS.findall(text.lower()):
        if len(run) > 1 and _IS_CJK.match(run):
            found.extend(run[place : place + 2] for place in range(len(run) - 1))
        else:
            found.append(run)
    return found


def document_text(draft: Draft) -> str:
    """Return what the floor reads of a turn: who said it, its words and its picture's caption."""
    header = draft.header
    words = draft.payload.text if isinstance(draft.payload, Text) else ""
    speaker = f"{header.speaker}: " if header.speaker else ""
    return f"{speaker}{words} {header.caption or ''}"


class BM25Floor:
    """BM25 over the texts of one conversation.

    Parameters
    ----------
    texts : sequence of str
        The documents.

    Examples
    --------
    >>> BM25Floor(["a red boat", "a cat", "the boat sank"]).search("Which boat is red?", 5)
    [0, 2]
    """

    def __init__(self, texts: Sequence[str]) -> None:
        documents = [floor_words(text) for text in texts]
        self._lengths = [len(words) for words in documents]
        self._mean = sum(self._lengths) / max(len(documents), 1) or 1.0
        self._holding: dict[str, list[tuple[int, int]]] = {}
        for place, words in enumerate(documents):
            for word, occurrences in Counter(words).items():
                self._holding.setdefault(word, []).append((place, occurrences))

    def search(self, question: str, top_k: int) -> list[int]:
        """Return the places of the best documents, best first; ties go to the earlier one."""
        scores: dict[int, float] = {}
        total = len(self._lengths)
        for word in dict.fromkeys(floor_words(question)):
            holding = self._holding.get(word, [])
            rarity = log(1 + (total - len(holding) + 0.5) / (len(holding) + 0.5))
            for place, occurrences in holding:
                norm = K1 * (1 - B + B * self._lengths[place] / self._mean)
                part = rarity * occurrences * (K1 + 1) / (occurrences + norm)
                scores[place] = scores.get(place, 0.0) + part
        return sorted(scores, key=lambda place: (-scores[place], place))[:top_k]
