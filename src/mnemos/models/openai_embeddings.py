"""Embeddings from any server that speaks OpenAI's ``/v1/embeddings``.

OpenAI itself, vLLM, llama.cpp, Ollama, text-embeddings-inference, LM Studio and others. Needs the
extra ``http`` (httpx), which is imported when the first client is made.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from mnemos.errors import InvalidInput, MissingExtra, ModelMismatch, ModelUnavailable

if TYPE_CHECKING:
    import httpx

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses that may be gone at the next try."""

TRIES = 5
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds; doubled from the first, unless the server asks for another with ``Retry-After``."""

EXCERPT = 200
"""Characters of a refusal that a message quotes."""


class OpenAIEmbeddings:
    """Embeds texts with a model behind an OpenAI-compatible address.

    Safe to share between threads. Works as a context manager that closes its connections.

    Parameters
    ----------
    base_url : str
        Up to and with the version, such as ``http://localhost:8000/v1``.
    model : str
        The model's name on that server.
    api_key : str, optional
        Sent as a bearer token. It never stands in a message.
    dim : int, optional
        Length of a vector. If not given, the first answer decides.
    timeout : float, optional
        Seconds to wait for the server at each step.
    batch : int, optional
        Most texts in one request.
    proxy : str, optional
        Address of a proxy. By default none: the environment is not read.
    sleep : callable, optional
        Waits a number of seconds before the next try.

    Raises
    ------
    MissingExtra
        If httpx is not installed.
    InvalidInput
        If an argument cannot be used.

    Examples
    --------
    >>> embedder = OpenAIEmbeddings("http://localhost:8000/v1", "bge-m3", dim=1024)
    >>> embedder.fingerprint
    'openai-compatible/bge-m3/f32'
    >>> embedder.embed([]).shape
    (0, 1024)
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        dim: int | None = None,
        timeout: float = 30.0,
        batch: int = 128,
        proxy: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        _check_arguments(base_url, model, api_key, dim, batch)
        self._url = f"{base_url.rstrip('/')}/embeddings"
        self._model = model
        self._key = api_key
        self._dim = dim
        self._batch = batch
        self._sleep = sleep
        self._client = _client(api_key, timeout, proxy)

    def __repr__(self) -> str:
        return f"OpenAIEmbeddings({self._place!r}, {self._model!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fingerprint(self) -> str:
        """The model's name. What stands behind it on the server cannot be seen from here.

        The address is not part of it: the same model may move to another server.
        """
        return f"openai-compatible/{self._model}/f32"

    @property
    def dim(self) -> int:
        """Length of a vector; if it is not known yet, the server is asked once.

        Raises
        ------
        ModelUnavailable
            If the server has to be asked and does not answer.
        """
        if self._dim is None:
            self._request(["dimension"])
        return cast("int", self._dim)

    def embed(self, texts: Sequence[str], *, query: bool = False) -> NDArray[np.float32]:
        """Return one unit vector per text.

        Parameters
        ----------
        texts : sequence of str
            Any number of texts. An empty one is sent as a blank: servers refuse the empty string.
        query : bool, optional
            Makes no difference: the interface has no word for it.

        Returns
        -------
        ndarray
            float32 ``(text, dim)``, in the order given.

        Raises
        ------
        ModelUnavailable
            If the server cannot be reached, refuses, or answers something else.
        ModelMismatch
            If the vectors have another length than ``dim``, or than earlier ones.
        """
        del query
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        parts = [
            self._request([text or " " for text in texts[start : start + self._batch]])
            for start in range(0, len(texts), self._batch)
        ]
        return np.concatenate(parts)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(self, texts: list[str]) -> NDArray[np.float32]:
        answer = self._post({"model": self._model, "input": texts})
        try:
            rows = {item["index"]: item["embedding"] for item in answer.json()["data"]}
            vectors = np.array([rows[index] for index in range(len(texts))], dtype=np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelUnavailable(
                f"{self._place} did not answer as an embeddings server would "
                f"({type(error).__name__}: {self._redacted(str(error))}); check the address."
            ) from None
        return self._normalised(vectors)

    def _normalised(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ModelUnavailable(f"{self._place} answered with something that is not a vector.")
        if self._dim is None:
            self._dim = vectors.shape[1]
        if vectors.shape[1] != self._dim:
            raise ModelMismatch(
                f"{self._model!r} at {self._place} gives vectors of {vectors.shape[1]}, expected "
                f"{self._dim}; it is another model, or was set to another length."
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not norms.all():
            raise ModelUnavailable(f"{self._place} answered with a vector of zeros.")
        return vectors / norms

    def _post(self, body: Mapping[str, Any]) -> "httpx.Response":
        import httpx

        pause, trouble = FIRST_PAUSE, ""
        for attempt in range(1, TRIES + 1):
            asked = None
            try:
                answer = self._client.post(self._url, json=body)
            except httpx.TransportError as error:
                trouble = f"could not be asked ({type(error).__name__}: {error})"
            else:
                if answer.is_success:
                    return answer
                trouble = _refusal(answer)
                if answer.status_code not in PASSING:
                    raise ModelUnavailable(f"{self._place} {self._redacted(trouble)}.")
                asked = _seconds(answer.headers.get("Retry-After"))
            if attempt < TRIES:
                self._sleep(min(pause if asked is None else asked, LONGEST_PAUSE))
                pause *= 2
        raise ModelUnavailable(f"{self._place} {self._redacted(trouble)}, {TRIES} times over.")

    @property
    def _place(self) -> str:
        # Without user and password, which an address may hold as well.
        parts = urlsplit(self._url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "…") if self._key else text


def _check_arguments(
    base_url: str, model: str, api_key: str | None, dim: int | None, batch: int
) -> None:
    if urlsplit(base_url).scheme not in ("http", "https"):
        raise InvalidInput("base_url must begin with https:// or http://.")
    if not model:
        raise InvalidInput("model is empty; give the model's name on the server.")
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key):
        raise InvalidInput("api_key is empty, or holds an unprintable character.")
    if batch < 1 or (dim is not None and dim < 1):
        raise InvalidInput(f"batch={batch!r}, dim={dim!r}; both must be 1 or more.")


def _client(api_key: str | None, timeout: float, proxy: str | None) -> "httpx.Client":
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("Embeddings over HTTP need httpx: pip install 'mnemos[http]'") from error
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return httpx.Client(headers=headers, timeout=timeout, proxy=proxy, trust_env=False)


def _refusal(answer: "httpx.Response") -> str:
    status = f"answered {answer.status_code} {answer.reason_phrase}"
    if answer.status_code in (401, 403):
        # Such an answer may quote part of the key.
        return f"{status}; check the API key and what it may do"
    return f"{status}: {' '.join(answer.text.split())[:EXCERPT]}"


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isdecimal() else None
