"""Downloading from a server on this machine, in the layout of the hub."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mnemos.errors import InvalidInput, ModelMismatch, ModelUnavailable
from mnemos.models.hub import REPOSITORY, REVISION, SHA256, download
from mnemos.models.weights import OFFICIAL_SHA256

DATA = b"weights " * 300_000
PLACE = f"/{REPOSITORY}/resolve/{REVISION}"


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves DATA as every file of the default revision, in the ways a server may."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == f"{PLACE}/moved.bin":
            self.send_response(302)
            self.send_header("Location", f"{PLACE}/whole.bin")
            self.end_headers()
        elif not self.path.startswith(PLACE) or self.path.endswith("missing.bin"):
            self.send_error(404)
        else:
            self.send_response(200)
            if not self.path.endswith("unsized.bin"):
                self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA[:1000] if self.path.endswith("cut.bin") else DATA)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (Hub,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


DIGEST = hashlib.sha256(DATA).hexdigest()


def test_download_with_progress(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []

    def progress(name: str, done: int, total: int | None) -> None:
        seen.append((name, done, total))

    found = download(
        REPOSITORY,
        tmp_path / "new" / "folder",
        hashes={"whole.bin": DIGEST, "unsized.bin": None, "moved.bin": DIGEST},
        base_url=hub[0] + "/",
        progress=progress,
    )
    assert found == dict.fromkeys(["whole.bin", "unsized.bin", "moved.bin"], DIGEST)
    names = sorted(file.name for file in (tmp_path / "new" / "folder").iterdir())
    assert names == ["moved.bin", "unsized.bin", "whole.bin"]
    assert (tmp_path / "new" / "folder" / "whole.bin").read_bytes() == DATA
    assert ("whole.bin", len(DATA), len(DATA)) in seen
    assert ("unsized.bin", len(DATA), None) in seen
    assert seen[0][1] < len(DATA)


def test_what_is_there_is_not_fetched_again(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    (tmp_path / "whole.bin").write_bytes(DATA)
    (tmp_path / "other.bin").write_bytes(b"old")
    hashes = {"whole.bin": DIGEST, "other.bin": DIGEST}
    download(REPOSITORY, tmp_path, hashes=hashes, base_url=hub[0])
    assert hub[1] == [f"{PLACE}/other.bin"]
    assert (tmp_path / "other.bin").read_bytes() == DATA


def test_another_hash_is_refused_and_nothing_stays(
    hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    (tmp_path / "whole.bin").write_bytes(b"old")
    with pytest.raises(ModelMismatch, match=DIGEST):
        download(REPOSITORY, tmp_path, hashes={"whole.bin": "0" * 64}, base_url=hub[0])
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.bin", "answered 404"), ("cut.bin", "broke off after 1000 of")]
)
def test_a_failed_download_is_a_typed_error(
    name: str, reason: str, hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    with pytest.raises(ModelUnavailable, match=f"{reason}.*"):
        download(REPOSITORY, tmp_path, hashes={name: DIGEST}, base_url=hub[0])
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="models add PATH"):
        download(REPOSITORY, tmp_path, base_url="http://127.0.0.1:9", timeout=5)


def test_another_revision_is_asked_for(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="404"):
        download("a/b", tmp_path, revision="refs/pr/1", hashes={"x": None}, base_url=hub[0])
    assert hub[1] == ["/a/b/resolve/refs%2Fpr%2F1/x"]


def test_only_web_addresses_are_taken(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="file:"):
        download(REPOSITORY, tmp_path, base_url="file:///etc")


def test_the_expected_hash_is_that_of_the_published_weights() -> None:
    assert SHA256["model.safetensors"] == OFFICIAL_SHA256
