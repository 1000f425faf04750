"""Both embedded stores keep every promise of the public suite."""

from itertools import count

import pytest

from mnemos.stores.memory import MemoryStore
from mnemos.stores.sqlite import SQLiteStore
from mnemos.testing import store_checks

numbers = count()


@pytest.mark.parametrize("check", store_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_store(check, engine, tmp_path):
    if engine == "memory":
        check(MemoryStore)
    else:
        check(lambda: SQLiteStore(tmp_path / f"{next(numbers)}.db"))
