"""The house rules that no linter checks."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import mnemos
from mnemos import errors
from mnemos.errors import MnemosError

SOURCE = Path(mnemos.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(file.relative_to(SOURCE)) for file in FILES]

PUBLIC = [
    "Context",
    "Draft",
    "Header",
    "Hit",
    "Hits",
    "Kind",
    "MemCube",
    "Memory",
    "MnemosError",
    "Origin",
    "Receipt",
    "Scope",
    "State",
    "Text",
    "__version__",
]
"""What ``from mnemos import …`` offers. A new name here is a promise: think first."""


@cache
def tree(name: str) -> ast.Module:
    return ast.parse((SOURCE / name).read_text(encoding="utf-8"), name)


def python(code: str) -> str:
    """Return what a fresh interpreter prints."""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


# --- what is public --------------------------------------------------------------------------


def test_the_public_names_are_pinned() -> None:
    assert mnemos.__all__ == PUBLIC == sorted(PUBLIC)
    assert len(PUBLIC) <= 25
    for name in PUBLIC:
        assert getattr(mnemos, name) is not None
    assert set(mnemos._HOMES) == set(PUBLIC) - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = mnemos.Nothing


def test_a_star_import_brings_the_public_names() -> None:
    found = json.loads(python("import json\nfrom mnemos import *\nprint(json.dumps([*locals()]))"))
    assert set(PUBLIC) <= set(found)


def test_importing_mnemos_is_light() -> None:
    heavy = ["numpy", "onnxruntime", "torch", "click", "httpx", "sqlite3", "Stemmer", "tabulate"]
    code = f"import sys, json, mnemos\nprint(json.dumps([n for n in {heavy} if n in sys.modules]))"
    assert json.loads(python(code)) == []


def test_importing_the_values_and_errors_is_light() -> None:
    code = "import sys, mnemos.types, mnemos.errors, mnemos.kernel.ports, mnemos.kernel.vault\n"
    code += "print([n for n in ('numpy', 'sqlite3', 'onnxruntime', 'click') if n in sys.modules])"
    assert python(code).strip() == "[]"


def test_a_vault_without_an_embedder_loads_no_model() -> None:
    code = "import sys\nfrom mnemos import Memory\nm = Memory(':memory:', embedder=None)\n"
    code += "m.add('boat'); assert m.search('boat')\n"
    code += "print([n for n in ('onnxruntime', 'torch', 'httpx', 'click') if n in sys.modules])"
    assert python(code).strip() == "[]"


# --- errors ----------------------------------------------------------------------------------

DRAWN = re.compile(r"^(?P<lead>[│ ]*[├└]── )?(?P<name>[A-Z]\w+)(?: \((?P<also>\w+)\))?(?: .*)?$")


def drawn_tree() -> dict[str, tuple[str, str | None]]:
    """Return each error of the drawing with its parent and the Python error it also is."""
    found: dict[str, tuple[str, str | None]] = {}
    parents: list[str] = []
    assert errors.__doc__
    for line in errors.__doc__.splitlines():
        match = DRAWN.match(line.removeprefix("    "))
        if line.startswith("    ") and match:
            depth = len(match["lead"] or "") // 4
            parents[depth:] = [match["name"]]
            found[match["name"]] = (parents[depth - 1] if depth else "Exception", match["also"])
    return found


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    classes = {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, BaseException)
    }
    drawn = drawn_tree()
    assert drawn.keys() == classes.keys()
    for name, kind in classes.items():
        parent, also = drawn[name]
        bases = [base.__name__ for base in kind.__bases__]
        assert bases == [parent, also][: len(bases)], name
        assert issubclass(kind, MnemosError)
        assert kind.__doc__
    assert "MemoryError" not in classes


# --- every file ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_at_most_600_lines(name: str) -> None:
    assert len((SOURCE / name).read_text(encoding="utf-8").splitlines()) <= 600


@pytest.mark.parametrize("name", NAMES)
def test_no_file_knows_the_machine_it_was_written_on(name: str) -> None:
    text = (SOURCE / name).read_text(encoding="utf-8")
    assert not [path for path in ("/work/", "/root/", "/home/", "C:\\Users") if path in text]


def catches_all(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    wide = any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException"))
        for kind in kinds
    )
    raises = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
    return wide and not raises


def reasoned(name: str, handler: ast.ExceptHandler) -> bool:
    """Return whether a check of the test kit says why it must catch everything."""
    line = (SOURCE / name).read_text(encoding="utf-8").splitlines()[handler.lineno - 1]
    return name.startswith("testing") and "# noqa: BLE001 - " in line


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("cli")])
def test_nothing_is_printed_and_no_error_swallowed(name: str) -> None:
    wrong = [
        node.lineno
        for node in ast.walk(tree(name))
        if (isinstance(node, ast.ExceptHandler) and catches_all(node) and not reasoned(name, node))
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        )
    ]
    assert wrong == []


Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public(body: list[ast.stmt], within: str) -> Iterator[tuple[str, Documented]]:
    for node in body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield f"{within}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{within}{node.name}.")


def is_overload(node: Documented) -> bool:
    return any(isinstance(item, ast.Name) and item.id == "overload" for item in node.decorator_list)


@pytest.mark.parametrize("name", NAMES)
def test_everything_public_says_what_it_is_for(name: str) -> None:
    module = tree(name)
    assert ast.get_docstring(module), "the module has no docstring"
    silent = [
        title
        for title, node in public(module.body, "")
        if not ast.get_docstring(node) and not is_overload(node)
    ]
    assert silent == []


@pytest.mark.parametrize("name", NAMES)
def test_no_room_is_named_after_nothing(name: str) -> None:
    assert Path(name).stem not in {"utils", "helpers", "manager", "service", "base", "common"}


EVALUATES = {"eval", "exec", "compile", "__import__"}
UNPACKS = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_stored_is_ever_run(name: str) -> None:
    found = [
        node.lineno
        for node in ast.walk(tree(name))
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in EVALUATES
        )
        or (isinstance(node, ast.Import) and UNPACKS & {item.name for item in node.names})
        or (isinstance(node, ast.ImportFrom) and node.module in UNPACKS)
    ]
    assert found == []
