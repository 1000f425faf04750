"""The tasks. A file here is a task of that name: nothing else has to be edited to add one."""

from __future__ import annotations

import difflib
from importlib import import_module
from pkgutil import iter_modules

from mnemos.bench.task import Task
from mnemos.errors import InvalidInput


def list_tasks() -> tuple[str, ...]:
    """Return the names of all tasks; none is loaded.

    >>> print(*list_tasks())
    amst deepmemeval harbour letta lifebench locomo locomo_audited madial memorycode xquad
    """
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def get_task(name: str) -> Task:
    """Return the task of a name.

    Raises
    ------
    InvalidInput
        If there is none; the message suggests near names.

    Examples
    --------
    >>> get_task("harbour").shipped
    True
    >>> get_task("lokomo")
    Traceback (most recent call last):
        ...
    mnemos.errors.InvalidInput: there is no task 'lokomo'; did you mean 'locomo'?
    """
    if name not in list_tasks():
        near = difflib.get_close_matches(name, list_tasks(), n=3)
        names = " or ".join(map(repr, near))
        advice = f"did you mean {names}?" if near else f"allowed: {', '.join(list_tasks())}"
        message = f"there is no task {name!r}; {advice}"
        raise InvalidInput(message)
    task = import_module(f"{__name__}.{name}").TASK
    assert isinstance(task, Task), f"{name}.TASK is no Task"
    return task
