"""Mnemos: a memory operating system for language models and agents.

>>> from mnemos import Memory
>>> with Memory(":memory:", embedder=None) as memory:
...     _ = memory.add("I moved to Lisbon in March and I'm allergic to peanuts", user_id="ana")
...     memory.search("what is Ana allergic to?", user_id="ana")[0].text
"I moved to Lisbon in March and I'm allergic to peanuts"
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnemos.app.memory import Memory as Memory
    from mnemos.errors import MnemosError as MnemosError
    from mnemos.types import Context as Context
    from mnemos.types import Draft as Draft
    from mnemos.types import Header as Header
    from mnemos.types import Hit as Hit
    from mnemos.types import Hits as Hits
    from mnemos.types import Kind as Kind
    from mnemos.types import MemCube as MemCube
    from mnemos.types import Origin as Origin
    from mnemos.types import Receipt as Receipt
    from mnemos.types import Scope as Scope
    from mnemos.types import State as State
    from mnemos.types import Text as Text

_HOMES = {
    "Memory": "mnemos.app.memory",
    "MnemosError": "mnemos.errors",
    "Context": "mnemos.types",
    "Draft": "mnemos.types",
    "Header": "mnemos.types",
    "Hit": "mnemos.types",
    "Hits": "mnemos.types",
    "Kind": "mnemos.types",
    "MemCube": "mnemos.types",
    "Origin": "mnemos.types",
    "Receipt": "mnemos.types",
    "Scope": "mnemos.types",
    "State": "mnemos.types",
    "Text": "mnemos.types",
}

__version__ = "0.1.0"
__all__ = [
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


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that ``import mnemos`` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mnemos' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
