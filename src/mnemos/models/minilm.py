"""all-MiniLM-L6-v2 on ONNX Runtime: 384 numbers for up to 256 tokens, a few milliseconds each.

The published model (`Reimers and Gurevych 2019 <https://arxiv.org/abs/1908.10084>`_, trained by
the sentence-transformers project on a billion pairs): mean of the last hidden states over the
tokens, scaled to unit length. Queries and passages are embedded alike.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnemos.models.converted import Weights
from mnemos.models.onnx_session import open_session
from mnemos.models.weights import load
from mnemos.models.wordpiece import WordPiece, read_vocabulary

DIM = 384
SCRIPTS = frozenset({"LATIN"})
MAX_TOKENS = 256
"""What the model was trained for; the rest of a longer text is not read."""

BATCH = 32
"""Texts at a time; more is slower on processors."""

BATCH_TOKENS = 4096
"""Tokens at a time, padding included; bounds the memory that long texts take."""


class MiniLM:
    """Embeds texts with all-MiniLM-L6-v2.

    Safe to share between threads. A text's vector is the same, up to 1e-6, whatever it is
    embedded together with.

    Parameters
    ----------
    weights : Weights
        The converted model; it may be dropped afterwards.
    threads : int, optional
        Threads to compute with; by default one for each core.

    Raises
    ------
    ModelUnavailable
        If ONNX Runtime cannot run the model.
    InvalidInput
        If ``threads`` is less than 1.

    Examples
    --------
    >>> embedder = MiniLM.open(Path("models"))  # doctest: +SKIP
    >>> embedder.embed(["A cat.", "A kitten."]).shape  # doctest: +SKIP
    (2, 384)
    """

    def __init__(self, weights: Weights, *, threads: int | None = None) -> None:
        self._fingerprint = weights.manifest.fingerprint
        self._tokenizer = WordPiece(read_vocabulary(weights.vocabulary, "vocab.txt"))
        self._session = open_session(weights.graph, threads)

    @classmethod
    def open(cls, cache: Path, path: Path | None = None, *, threads: int | None = None) -> "MiniLM":
        """Find the weights, convert them if that was not done yet, and load them.

        Parameters
        ----------
        cache : Path
            Directory where converted models are kept.
        path : Path, optional
            Where to look for weights instead of everywhere; see :mod:`mnemos.models.weights`.
        threads : int, optional
            Threads to compute with; by default one for each core.

        Returns
        -------
        MiniLM
            Ready to embed.

        Raises
        ------
        ModelUnavailable
            If the weights cannot be had; the message lists the commands that get them.
        ModelMismatch
            If a converted file was altered and there is nothing to convert again.
        InvalidInput
            If what is found is not this model.
        """
        return cls(load(cache, path), threads=threads)

    @property
    def fingerprint(self) -> str:
        """Model, hash of the published weights and precision."""
        return self._fingerprint

    @property
    def dim(self) -> int:
        """Length of a vector: 384."""
        return DIM

    @property
    def scripts(self) -> frozenset[str]:
        """Latin: it was trained on English, and other scripts are single letters to it."""
        return SCRIPTS

    @property
    def tokenizer(self) -> WordPiece:
        """The tokenizer, which also counts tokens."""
        return self._tokenizer

    def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[np.float32]:
        """Return one unit vector per text.

        Parameters
        ----------
        texts : sequence of str
            Any number of texts. Of each the first 254 word pieces count; the rest is not read.
        query : bool, optional
            Makes no difference to this model.

        Returns
        -------
        ndarray
            float32 ``(text, 384)``, in the order given.
        """
        del query
        tokens = [self._tokenizer.encode(text, MAX_TOKENS) for text in texts]
        vectors = np.empty((len(tokens), DIM), dtype=np.float32)
        for rows in batches([len(ids) for ids in tokens]):
            vectors[rows] = self._forward([tokens[row] for row in rows])
        return vectors

    def _forward(self, batch: list[list[int]]) -> NDArray[np.float32]:
        width = max(map(len, batch))
        ids = np.zeros((len(batch), width), dtype=np.int32)
        mask = np.zeros((len(batch), width), dtype=np.int32)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        (states,) = self._session.run(["states"], {"ids": ids, "mask": mask})
        # The length of the sum does not matter once it is scaled to 1, so it is not divided.
        sums = np.einsum("bth,bt->bh", states, mask.astype(np.float32))
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        return sums / np.maximum(norms, np.finfo(np.float32).tiny)


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group texts of like length, since each is padded to the longest of its batch.

    Parameters
    ----------
    lengths : sequence of int
        Tokens in each text.

    Yields
    ------
    list of int
        Places in ``lengths``, each in one batch; at most ``BATCH`` texts and, unless one text
        alone is longer, ``BATCH_TOKENS`` tokens once padded.

    Examples
    --------
    >>> list(batches([9, 4000, 2, 150]))
    [[2, 0, 3], [1]]
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == BATCH or (len(batch) + 1) * lengths[place] > BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
