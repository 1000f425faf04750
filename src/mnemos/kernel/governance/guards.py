"""Who may read one memory: its access list and its sensitivity label, as one column of a page.

A row that names nobody and no label has guard 0. The others carry a hash of both, and of who wrote
it, so a search asks once for each different guard on a page, not once for each row.
"""

from __future__ import annotations

from mnemos.kernel.canonical import encode_json
from mnemos.kernel.governance.views import Right
from mnemos.kernel.tokens import term_hash
from mnemos.types import Header


def guard_of(header: Header) -> int:
    """Return the guard of a memory; 0 where everyone who reads the page may read it.

    >>> guard_of(Header())
    0
    """
    if not header.access and header.sensitivity is None:
        return 0
    named = [sorted(header.access), header.sensitivity or ""]
    if header.access and header.owner is not None:  # who wrote it may read it, see is_cleared
        named.append(header.owner)
    return term_hash(encode_json(named).decode())


def passes(header: Header, names: frozenset[str], right: Right) -> bool:
    """Return whether a right, not being everything, shows a memory of this header.

    Parameters
    ----------
    header : Header
        The memory's.
    names : frozenset of str
        Who asks, and the groups it belongs to: a memory with an access list is shown to those on it
        and to who wrote it.
    right : Right
        One rectangle of what it may see.
    """
    if right.kinds is not None and header.kind not in right.kinds:
        return False
    if right.agent_id not in (None, header.agent_id) or right.run_id not in (None, header.run_id):
        return False
    return is_cleared(header, names, right)


def is_cleared(header: Header, names: frozenset[str], right: Right) -> bool:
    """Return whether the access list and the sensitivity label let a principal read."""
    if header.access and names.isdisjoint((*header.access, header.owner or "")):
        return False
    label = header.sensitivity
    if label is None or right.labels is None or label in right.labels:
        return True
    return right.labels.issuperset(label.split("+"))
