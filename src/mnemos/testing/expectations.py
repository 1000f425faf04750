"""What a check says when a promise is not kept."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


class Deliberate(Exception):
    """Raised by a check to leave a transaction."""


def expect(condition: bool, promise: str) -> None:
    """Raise with the promise unless the condition holds."""
    if not condition:
        raise AssertionError(promise)


def equal(got: Any, wanted: Any, what: str) -> None:
    """Raise with both values unless they are equal."""
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r:.500}, wanted {wanted!r:.500}")


@contextmanager
def raises(kind: type[BaseException], what: str) -> Generator[None, None, None]:
    """Raise unless the block raises an error of this kind."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{what}: {kind.__name__} was not raised")
