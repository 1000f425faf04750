"""Adapter for any cross-encoder of sentence-transformers. Needs the extra of that name (torch)."""

from collections.abc import Sequence
from typing import Any, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from mnemos.errors import MissingExtra, ModelUnavailable
from mnemos.models.sentence_transformers_embedder import fingerprint_of

BATCH = 32


class PairScorer(Protocol):
    """The part of ``sentence_transformers.CrossEncoder`` that is used."""

    def predict(
        self,
        sentences: list[tuple[str, str]],
        *,
        batch_size: int,
        show_progress_bar: bool,
        convert_to_numpy: bool,
    ) -> NDArray[np.floating[Any]]:
        """Return one score per pair, ``(pair,)``; a row of them from a model of several labels."""
        ...


class SentenceTransformersReranker:
    """Scores texts with a loaded cross-encoder.

    Parameters
    ----------
    scorer : PairScorer
        A ``CrossEncoder`` of one label. Whether it may be shared between threads is up to it.
    fingerprint : str
        Model, hash of its weights and precision.
    """

    def __init__(self, scorer: PairScorer, fingerprint: str) -> None:
        self._scorer = scorer
        self._fingerprint = fingerprint

    @classmethod
    def open(cls, name: str, *, revision: str | None = None, device: str | None = None) -> Self:
        """Load a model that is on this machine; nothing is downloaded.

        Parameters
        ----------
        name : str
            A folder, or a name in the local cache of the Hugging Face hub.
        revision : str, optional
            Commit, tag or branch.
        device : str, optional
            Where to compute, such as ``"cpu"`` or ``"cuda"``; by default torch decides.

        Returns
        -------
        SentenceTransformersReranker
            Ready to score.

        Raises
        ------
        MissingExtra
            If sentence-transformers is not installed.
        ModelUnavailable
            If the model is not on this machine, or cannot be loaded.
        """
        try:
            from sentence_transformers import (  # pyright: ignore[reportMissingImports]
                CrossEncoder,  # pyright: ignore[reportUnknownVariableType]
            )
        except ImportError as error:
            raise MissingExtra(
                "This reranker needs sentence-transformers (and torch, about 1 GB): "
                "pip install 'mnemos[sentence-transformers]'"
            ) from error
        loader = cast("Any", CrossEncoder)
        try:
            scorer = loader(name, revision=revision, device=device, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ModelUnavailable(
                f"{name!r} cannot be loaded: {error}. Nothing is downloaded here; get it with "
                f"`hf download {name}`, or name a folder."
            ) from error
        # A module itself from version 4 on, before that it only held one.
        module = scorer if hasattr(scorer, "state_dict") else scorer.model
        return cls(scorer, fingerprint_of(name, module.state_dict()))

    @property
    def fingerprint(self) -> str:
        """Model, hash of its weights and precision."""
        return self._fingerprint

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one score per text.

        Parameters
        ----------
        question : str
            What is asked.
        texts : sequence of str
            Any number of texts.

        Returns
        -------
        ndarray
            float32 ``(text,)``, in the order given; larger is better.
        """
        if not texts:
            return np.empty(0, dtype=np.float32)
        return self._scorer.predict(
            [(question, text) for text in texts],
            batch_size=BATCH,
            show_progress_bar=False,
            convert_to_numpy=True,
        ).astype(np.float32)
