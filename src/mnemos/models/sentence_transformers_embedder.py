"""Adapter for any sentence-transformers model. Needs the extra of that name, which brings torch."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from mnemos.errors import InvalidInput, MissingExtra, ModelUnavailable

BATCH = 32


class Encoder(Protocol):
    """The part of ``sentence_transformers.SentenceTransformer`` that is used."""

    prompts: Mapping[str, str]

    def encode(
        self,
        sentences: list[str],
        *,
        prompt_name: str | None,
        batch_size: int,
        show_progress_bar: bool,
        convert_to_numpy: bool,
    ) -> NDArray[np.floating[Any]]:
        """Return one vector per sentence, ``(sentence, dim)``."""
        ...


class SentenceTransformersEmbedder:
    """Embeds texts with a loaded sentence-transformers model.

    Parameters
    ----------
    encoder : Encoder
        A ``SentenceTransformer``. Whether it may be shared between threads is up to it.
    fingerprint : str
        Model, hash of its weights and precision, to be recorded with every vector.
    dim : int or None
        Length of its vectors.

    Raises
    ------
    InvalidInput
        If ``dim`` is not a length; some models do not say theirs.
    """

    def __init__(self, encoder: Encoder, fingerprint: str, dim: int | None) -> None:
        if not dim:
            raise InvalidInput(f"{fingerprint} does not say how long its vectors are.")
        self._encoder = encoder
        self._fingerprint = fingerprint
        self._dim = dim

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
        SentenceTransformersEmbedder
            Ready to embed.

        Raises
        ------
        MissingExtra
            If sentence-transformers is not installed.
        ModelUnavailable
            If the model is not on this machine, or cannot be loaded.
        InvalidInput
            If it does not say how long its vectors are.
        """
        try:
            from sentence_transformers import (  # pyright: ignore[reportMissingImports]
                SentenceTransformer,  # pyright: ignore[reportUnknownVariableType]
            )
        except ImportError as error:
            raise MissingExtra(
                "This embedder needs sentence-transformers (and torch, about 1 GB): "
                "pip install 'mnemos[sentence-transformers]'"
            ) from error
        loader = cast("Any", SentenceTransformer)
        try:
            encoder = loader(name, revision=revision, device=device, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ModelUnavailable(
                f"{name!r} cannot be loaded: {error}. Nothing is downloaded here; get it with "
                f"`hf download {name}`, or name a folder."
            ) from error
        # Renamed in version 5; the old name warns.
        dim = getattr(encoder, "get_embedding_dimension", encoder.get_sentence_embedding_dimension)
        return cls(encoder, fingerprint_of(name, encoder.state_dict()), dim())

    @property
    def fingerprint(self) -> str:
        """Model, hash of its weights and precision."""
        return self._fingerprint

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[np.float32]:
        """Return one unit vector per text.

        Parameters
        ----------
        texts : sequence of str
            Any number of texts.
        query : bool, optional
            Whether they are questions: then the model's prompt ``query`` is put before them, else
            its prompt ``document``, if it has one.

        Returns
        -------
        ndarray
            float32 ``(text, dim)``, in the order given.
        """
        if not texts:
            return np.empty((0, self._dim), dtype=np.float32)
        prompt = "query" if query else "document"
        vectors = self._encoder.encode(
            list(texts),
            prompt_name=prompt if prompt in self._encoder.prompts else None,
            batch_size=BATCH,
            show_progress_bar=False,
            convert_to_numpy=True,
        ).astype(np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.maximum(norms, np.finfo(np.float32).tiny)


def fingerprint_of(name: str, state: Mapping[str, Any]) -> str:
    """Return the fingerprint of a torch model.

    Parameters
    ----------
    name : str
        The model's name; of a path, its last part counts.
    state : mapping of str to torch.Tensor
        Its ``state_dict``; every byte is hashed, whatever file it came from.

    Returns
    -------
    str
        Name, first twelve digits of the hash and dtype.
    """
    import torch as torch_  # pyright: ignore[reportMissingImports]

    torch = cast("Any", torch_)  # Untyped where it is not installed.

    digest = hashlib.sha256()
    dtypes: set[str] = set()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))
        if tensor.is_floating_point():
            dtypes.add(str(tensor.dtype).removeprefix("torch."))
    last = name.rstrip("/").rpartition("/")[2]
    return f"{last}/{digest.hexdigest()[:12]}/{'+'.join(sorted(dtypes))}"
