"""Public test kit: the fakes for every port, and the promises of a store as checks.

Examples
--------
A vault in which time, ids and salts repeat, so that a run can be replayed:

>>> from mnemos.kernel.vault import Vault
>>> from mnemos.stores.memory import MemoryStore
>>> vault = Vault(MemoryStore(), clock=SimClock(), ids=SeededIds(1), entropy=SeededEntropy(1))
>>> vault.clock.now().year
2026

A store of your own, held to what every store promises:

>>> check_store(MemoryStore)
"""

from mnemos.testing.chat import ScriptedChat
from mnemos.testing.clock import SimClock
from mnemos.testing.embedder import HashEmbedder
from mnemos.testing.faults import CountFaults, KillAt, RaiseAt, disk_full
from mnemos.testing.ids import SeededEntropy, SeededIds
from mnemos.testing.reranker import ScriptedReranker
from mnemos.testing.store_checks import check_store, store_checks

__all__ = [
    "CountFaults",
    "HashEmbedder",
    "KillAt",
    "RaiseAt",
    "ScriptedChat",
    "ScriptedReranker",
    "SeededEntropy",
    "SeededIds",
    "SimClock",
    "check_store",
    "disk_full",
    "store_checks",
]
