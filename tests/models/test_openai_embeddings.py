"""The HTTP embedder against a real server that behaves and misbehaves."""

import contextlib
import http.server
import json
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from mnemos.errors import InvalidInput, MissingExtra, ModelMismatch, ModelUnavailable
from mnemos.models.openai_embeddings import LONGEST_PAUSE, TRIES, OpenAIEmbeddings

pytest.importorskip("httpx", reason="the extra http (httpx) is not installed")

KEY = "sk-very-secret-0123456789"

Answer = tuple[int, dict[str, str], Any]


def embeddings(body: Any) -> Answer:
    """Answer as a server should, but with the rows in reverse."""
    rows = [[len(text), sum(map(ord, text)), 1.0, -2.0] for text in body["input"]]
    items = [{"index": place, "embedding": row} for place, row in enumerate(rows)]
    return 200, {}, {"data": items[::-1], "model": body["model"]}


def fixed(status: int, answer: Any, **headers: str) -> Callable[[Any], Answer]:
    return lambda _: (status, headers, answer)


class Server:
    """What the server has seen, and how it will answer next."""

    def __init__(self) -> None:
        self.url = ""
        self.script: list[Callable[[Any], Answer]] = []
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.pauses: list[float] = []

    def client(self, **arguments: Any) -> OpenAIEmbeddings:
        return OpenAIEmbeddings(self.url, "bge", sleep=self.pauses.append, **arguments)


class Handler(http.server.BaseHTTPRequestHandler):
    state: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.state.requests.append((self.path, dict(self.headers), body))
        turn = self.state.script.pop(0) if self.state.script else embeddings
        status, headers, answer = turn(body)
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name.replace("_", "-"), value)
        with contextlib.suppress(ConnectionError):  # The client may have given up waiting.
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    handler = type("Bound", (Handler,), {"state": state})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{listening.server_port}/v1"
        yield state
        listening.shutdown()
        thread.join()


def test_vectors_come_in_order_and_of_unit_length(server: Server) -> None:
    texts = ["a", "longer", "bb"]
    with server.client(api_key=KEY) as embedder:
        found = embedder.embed(texts)
    expected = np.array([[len(text), sum(map(ord, text)), 1, -2] for text in texts], np.float32)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    ((path, headers, body),) = server.requests
    assert path == "/v1/embeddings"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {"model": "bge", "input": texts}


def test_texts_are_sent_in_batches(server: Server) -> None:
    texts = [f"text {number}" for number in range(7)]
    with server.client(batch=3) as embedder:
        together = embedder.embed(texts)
        apart = np.concatenate([embedder.embed([text]) for text in texts])
    np.testing.assert_array_equal(together, apart)
    assert [len(body["input"]) for _, _, body in server.requests[:3]] == [3, 3, 1]
    assert "Authorization" not in server.requests[0][1]


def test_an_empty_text_is_sent_as_a_blank(server: Server) -> None:
    with server.client() as embedder:
        embedder.embed(["", "a"], query=True)
    assert server.requests[0][2]["input"] == [" ", "a"]


def test_the_length_is_given_or_asked_for_once(server: Server) -> None:
    with server.client(dim=4) as embedder:
        assert embedder.embed([]).shape == (0, 4)
        assert server.requests == []
    with server.client() as embedder:
        assert embedder.embed([]).shape == (0, 4)
        assert embedder.dim == 4
    assert len(server.requests) == 1


def test_another_length_is_a_mismatch(server: Server) -> None:
    with server.client(dim=8) as embedder, pytest.raises(ModelMismatch, match="of 4, expected 8"):
        embedder.embed(["a"])
    longer = {"data": [{"index": 0, "embedding": [1.0] * 5}]}
    with server.client() as embedder:
        embedder.embed(["a"])
        server.script = [fixed(200, longer)]
        with pytest.raises(ModelMismatch, match="of 5, expected 4"):
            embedder.embed(["a"])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_refusal_is_tried_again(status: int, server: Server) -> None:
    server.script = [fixed(status, {})] * 3
    with server.client() as embedder:
        assert embedder.embed(["a"]).shape == (1, 4)
    assert server.pauses == [0.5, 1.0, 2.0]


def test_the_server_may_ask_for_a_pause(server: Server) -> None:
    server.script = [
        fixed(429, {}, Retry_After="7"),
        fixed(429, {}, Retry_After="86400"),
        fixed(429, {}, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"),
    ]
    with server.client() as embedder:
        embedder.embed(["a"])
    assert server.pauses == [7.0, LONGEST_PAUSE, 2.0]


def test_tries_are_bounded(server: Server) -> None:
    server.script = [fixed(503, {"error": "busy"})] * 99
    with server.client() as embedder, pytest.raises(ModelUnavailable, match=r"503.*5 times"):
        embedder.embed(["a"])
    assert len(server.requests) == TRIES
    assert len(server.pauses) == TRIES - 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_a_lasting_refusal_is_not_tried_again(status: int, server: Server) -> None:
    server.script = [fixed(status, {"error": {"message": f"Incorrect API key: {KEY}"}})]
    with (
        server.client(api_key=KEY) as embedder,
        pytest.raises(ModelUnavailable, match=str(status)) as caught,
    ):
        embedder.embed(["a"])
    assert len(server.requests) == 1
    assert KEY not in str(caught.value)
    assert KEY not in repr(embedder)


def test_a_server_that_is_not_there_is_a_typed_error() -> None:
    pauses: list[float] = []
    url = f"http://user:{KEY}@127.0.0.1:9/v1"
    with (
        OpenAIEmbeddings(url, "bge", sleep=pauses.append, timeout=2.0) as embedder,
        pytest.raises(ModelUnavailable, match="could not be asked") as caught,
    ):
        embedder.embed(["a"])
    assert len(pauses) == TRIES - 1
    assert KEY not in str(caught.value)
    assert KEY not in repr(embedder)


def test_a_slow_server_is_not_waited_for(server: Server) -> None:
    release = threading.Event()

    def slow(body: Any) -> Answer:
        release.wait(5)
        return embeddings(body)

    server.script = [slow]
    with server.client(timeout=0.2) as embedder:
        assert embedder.embed(["a"]).shape == (1, 4)
    release.set()
    assert server.pauses == [0.5]


WRONG_ANSWERS: list[Any] = [
    b"<html>not an API</html>",
    b"\xff\xfe",
    [],
    {},
    {"data": []},
    {"data": [{"index": 1, "embedding": [1.0]}]},
    {"data": [{"index": 0}]},
    {"data": [{"index": 0, "embedding": None}]},
    {"data": [{"index": 0, "embedding": "AAAA"}]},
    {"data": [{"index": 0, "embedding": 1.0}]},
    {"data": [{"index": 0, "embedding": []}]},
    {"data": [{"index": 0, "embedding": [0.0, 0.0]}]},
    {"data": [{"index": 0, "embedding": [[1.0], [2.0]]}]},
    b'{"data": [{"index": 0, "embedding": [NaN, 1.0]}]}',
    b'{"data": [{"index": 0, "embedding": [1e999, 1.0]}]}',
]


@pytest.mark.parametrize("answer", WRONG_ANSWERS)
def test_another_answer_is_a_typed_error(answer: Any, server: Server) -> None:
    server.script = [fixed(200, answer)]
    with server.client(api_key=KEY) as embedder, pytest.raises(ModelUnavailable, match=r"/v1/emb"):
        embedder.embed(["a"])


def test_threads_share_a_client(server: Server) -> None:
    texts = [f"text {'x' * number}" for number in range(10)]
    found: list[Any] = []
    with server.client(batch=3) as embedder:
        expected = embedder.embed(texts)
        threads = [
            threading.Thread(target=lambda: found.append(embedder.embed(texts))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 4
    for vectors in found:
        np.testing.assert_array_equal(vectors, expected)


@pytest.mark.parametrize(
    "arguments",
    [
        {"base_url": "localhost:8000/v1"},
        {"base_url": "ftp://localhost/v1"},
        {"model": ""},
        {"api_key": f"{KEY}\n"},
        {"api_key": ""},
        {"api_key": f"{KEY}é"},
        {"batch": 0},
        {"dim": 0},
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any]) -> None:
    usable: dict[str, Any] = {"base_url": "http://localhost/v1", "model": "bge"}
    with pytest.raises(InvalidInput) as caught:
        OpenAIEmbeddings(**(usable | arguments))
    assert KEY not in str(caught.value)


def test_without_httpx_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mnemos\[http\]'"):
        OpenAIEmbeddings("http://localhost/v1", "bge")


def test_the_fingerprint_names_the_model(server: Server) -> None:
    with server.client() as embedder:
        assert embedder.fingerprint == "openai-compatible/bge/f32"
