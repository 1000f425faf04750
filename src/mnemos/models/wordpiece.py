"""BERT's uncased WordPiece tokenizer in pure Python.

Gives the ids of the reference implementation (the ``tokenizers`` package) for every text, in a
quarter to half of its time for running prose, thanks to a cache of words already split.

Steps: split at white space and around ideographs, drop control characters, decompose (NFD) and
drop combining marks, lower-case each character by itself, split around punctuation, then take
from each word the longest piece the vocabulary has, again and again (`Devlin et al. 2019
<https://arxiv.org/abs/1810.04805>`_; `Wu et al. 2016
<https://arxiv.org/abs/1609.08144>`_, section 4.1).

Deliberate differences
----------------------
* The reference reads a literal ``[CLS]`` or ``[MASK]`` in a text as the control token. Here a text
  is data and cannot say such a thing: brackets are punctuation, the rest is a word. The reference
  does the same when ``encode_special_tokens`` is set.
* A lone surrogate, which the reference cannot take at all, is dropped like a control character.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path

from mnemos.errors import InvalidInput
from mnemos.models.bert_characters import (
    CONTROL,
    IDEOGRAPH,
    MARK,
    PUNCTUATION,
    SPACE,
    expression,
)

LONGEST_WORD = 100
"""A longer word is ``[UNK]`` unread, as in the reference."""

CACHE_WORDS = 32_768
"""Words remembered per tokenizer, about 5 MB; the cache starts afresh when full."""

LATE_CAPITALS = str.maketrans({"\ua7cb": "\u0264", "\ua7dc": "\u019b"})
"""Lower case from Unicode 16 that leads to older letters; Python 3.11 to 3.13 do not know it."""

# An ideograph is a word whatever stands beside it; so text without blanks is not one long word.
_WORD = re.compile(f"[{expression(IDEOGRAPH)}]|[^{expression(SPACE + ' ' + IDEOGRAPH)}]+")


# The patterns are compiled on first use: plain English needs none of them, and together they
# take some milliseconds.
@cache
def _one_of(ranges: str) -> re.Pattern[str]:
    return re.compile(f"[{expression(ranges)}]")


@cache
def _piece() -> re.Pattern[str]:
    marks = expression(PUNCTUATION)
    return re.compile(f"[{marks}]|[^{marks}]+")


def _normalise(word: str) -> str:
    if word.isascii() and word.isprintable():
        return word.lower()
    word = _one_of(CONTROL).sub("", word)
    word = _one_of(MARK).sub("", unicodedata.normalize("NFD", word))
    # str.lower looks around for one letter only: a capital sigma at the end of a word.
    return word.replace("\u03a3", "\u03c3").lower().translate(LATE_CAPITALS)


def _pieces(word: str) -> Iterator[str]:
    if word.isascii() and word.isalnum():
        return iter((word,))
    return (match.group() for match in _piece().finditer(word))


class WordPiece:
    """Splits text into the token ids of an uncased BERT vocabulary.

    Safe to share between threads: the only state is a cache of independent entries.

    Parameters
    ----------
    vocabulary : mapping of str to int
        Token to id. Must hold ``[UNK]``, ``[CLS]`` and ``[SEP]``; pieces inside a word begin
        with ``##``.

    Raises
    ------
    InvalidInput
        If one of the three control tokens is missing.

    Examples
    --------
    >>> words = ["[UNK]", "[CLS]", "[SEP]", "hello", "world", "##s", "!"]
    >>> tokenizer = WordPiece({word: number for number, word in enumerate(words)})
    >>> tokenizer.encode("Héllo Worlds!", max_tokens=256)
    [1, 3, 4, 5, 6, 2]
    >>> tokenizer.count("Héllo Worlds!")
    4
    >>> tokenizer("hello hello")
    2
    """

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        missing = [token for token in ("[UNK]", "[CLS]", "[SEP]") if token not in vocabulary]
        if missing:
            raise InvalidInput(
                f"The vocabulary of {len(vocabulary)} tokens lacks {', '.join(missing)}; "
                "give the vocab.txt or tokenizer.json of an uncased BERT model."
            )
        self._vocabulary = dict(vocabulary)
        self._unknown = vocabulary["[UNK]"]
        self._first = vocabulary["[CLS]"]
        self._last = vocabulary["[SEP]"]
        self._longest = max(map(len, vocabulary))
        self._cache: dict[str, tuple[int, ...]] = {}

    @classmethod
    def from_file(cls, path: Path) -> "WordPiece":
        """Read a vocabulary.

        Parameters
        ----------
        path : Path
            A ``tokenizer.json``, or a ``vocab.txt`` with one token per line in the order of ids.

        Returns
        -------
        WordPiece
            A tokenizer over that vocabulary.

        Raises
        ------
        InvalidInput
            If the file is neither.
        OSError
            If it cannot be read.
        """
        return cls(read_vocabulary(path.read_bytes(), path.name))

    @property
    def size(self) -> int:
        """Number of tokens in the vocabulary."""
        return len(self._vocabulary)

    def encode(self, text: str, max_tokens: int) -> list[int]:
        """Return the ids of ``text`` between ``[CLS]`` and ``[SEP]``, cut to a length.

        Parameters
        ----------
        text : str
            Any text; the empty one gives the two control tokens alone.
        max_tokens : int
            Most ids to return, control tokens included; at least 2. Words beyond are not even
            looked at, so a long text costs no more than its beginning.

        Returns
        -------
        list of int
            Between 2 and ``max_tokens`` ids.

        Raises
        ------
        InvalidInput
            If ``max_tokens`` is less than 2.
        """
        if max_tokens < 2:
            raise InvalidInput(
                f"max_tokens={max_tokens!r} leaves no room for [CLS] and [SEP]; give 2 or more."
            )
        ids = [self._first]
        for found in self._ids(text):
            ids += found
            if len(ids) >= max_tokens:
                del ids[max_tokens - 1 :]
                break
        ids.append(self._last)
        return ids

    def count(self, text: str) -> int:
        """Return how many tokens ``text`` has, control tokens not counted and nothing cut off.

        Parameters
        ----------
        text : str
            Any text.

        Returns
        -------
        int
            0 for a text without visible characters.
        """
        return sum(map(len, self._ids(text)))

    def __call__(self, text: str) -> int:
        """Return :meth:`count` of ``text``, so that a tokenizer can serve as a token counter."""
        return self.count(text)

    def _ids(self, text: str) -> Iterator[tuple[int, ...]]:
        known = self._cache
        for match in _WORD.finditer(text):
            word = match.group()
            ids = known.get(word)
            if ids is not None:
                yield ids
            elif len(word) <= LONGEST_WORD:
                yield self._remembered(word)
            else:
                yield from map(self._longest_matches, _pieces(_normalise(word)))

    def _remembered(self, word: str) -> tuple[int, ...]:
        pieces = map(self._longest_matches, _pieces(_normalise(word)))
        ids = tuple(chain.from_iterable(pieces))
        if len(self._cache) >= CACHE_WORDS:
            self._cache.clear()
        self._cache[word] = ids
        return ids

    def _longest_matches(self, word: str) -> tuple[int, ...]:
        if len(word) > LONGEST_WORD:
            return (self._unknown,)
        ids: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                found = self._vocabulary.get(prefix + word[start:end])
                if found is not None:
                    break
            else:
                return (self._unknown,)
            ids.append(found)
            start = end
        return tuple(ids)


def read_vocabulary(data: bytes, name: str) -> dict[str, int]:
    r"""Read the tokens of a vocabulary file from its bytes.

    Parameters
    ----------
    data : bytes
        What the file holds.
    name : str
        Its name: one that ends in ``.json`` is read as a ``tokenizer.json``, any other as a
        ``vocab.txt``.

    Returns
    -------
    dict of str to int
        Token to id.

    Raises
    ------
    InvalidInput
        If the file is not of that form.

    Examples
    --------
    >>> read_vocabulary(b"[PAD]\n[UNK]\n", "vocab.txt")
    {'[PAD]': 0, '[UNK]': 1}
    """
    try:
        if not name.endswith(".json"):
            lines = data.decode("utf-8").removesuffix("\n").split("\n")
            return {line.removesuffix("\r"): number for number, line in enumerate(lines)}
        model = json.loads(data)["model"]
        if model["type"] != "WordPiece":
            raise InvalidInput(f"{name} holds a {model['type']!r} tokenizer; WordPiece is needed.")
        return {str(token): int(number) for token, number in model["vocab"].items()}
    except (UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(
            f"{name} is not a tokenizer.json or vocab.txt ({error}); copy it again from the model."
        ) from error
