"""Looking after a vault: statistics, vectors."""

from __future__ import annotations

from collections.abc import Callable

from mnemos.app.handle import Handle
from mnemos.app.scopes import (
    read_callable,
)
from mnemos.errors import InvalidInput
from mnemos.kernel.upkeep.reembed import Progress, reembed
from mnemos.kernel.upkeep.statistics import Statistics, measure


class Upkeep(Handle):
    """Calls about the vault as a whole."""

    def stats(self) -> Statistics:
        """Return how much is remembered and what it takes."""
        self._check_owner("count what is remembered in the tenant")
        return measure(self._vault, self._tenant)

    def reembed(self, *, progress: Callable[[Progress], None] | None = None) -> Progress:
        """Give every memory a vector by this handle's embedder, then switch the vault to it.

        Searches go on meanwhile with the old vectors; interrupted, it goes on where it stopped.

        Raises
        ------
        InvalidInput
            If the handle has no embedder.
        """
        read_callable("progress", progress)
        self._check_owner("change the embedder")
        model = self._embedder.get()
        if model is None:
            raise InvalidInput(
                "this handle has no embedder; open Memory(..., embedder=…) or install the local "
                "model with `mnemos models add`"
            )
        return reembed(self._vault, model, progress=progress)
