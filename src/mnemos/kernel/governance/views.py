"""The one place that builds views: what a principal may read, of which page, at which moment.

Every read and write of a store is opened with one of three views: a :class:`View` of one subject's
page, a :class:`TenantView` of everything of a tenant, a :class:`SystemView` of the whole vault. All
are sealed: their classes refuse to be built anywhere else. The system view is handed out by
:mod:`mnemos.kernel.governance.system`, which only the kernel may import.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import InitVar, dataclass
from datetime import datetime

from mnemos.errors import InvalidInput
from mnemos.kernel.schema import MAIN
from mnemos.types import CURRENT_STATES, Kind, Scope, State

OWNER = "owner"
"""The principal of an embedded vault: whoever can open the file."""

ALL_STATES = frozenset(State) - {State.FORGOTTEN}
"""Everything that is still there, archived and superseded included."""

_SEAL = object()


def _check_seal(seal: object) -> None:
    if seal is not _SEAL:
        raise TypeError(
            "a view is issued by mnemos.kernel.governance and built nowhere else; use "
            "Memory.view, or open_view within the kernel"
        )


def _refuse_heirs() -> None:
    raise TypeError("a view has no subclasses: one could be built without the seal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Right:
    """One rectangle of what a principal may see of a page; several are united.

    Parameters
    ----------
    kinds : frozenset of Kind or None
        These kinds only; None is all.
    agent_id, run_id : str or None
        Rows of this agent or run only; None is all.
    labels : frozenset of str or None
        Sensitivity labels it clears; a row without a label needs none. None clears all.
    unmasked : bool
        Whether what policies mask on reading is shown.
    """

    kinds: frozenset[Kind] | None = None
    agent_id: str | None = None
    run_id: str | None = None
    labels: frozenset[str] | None = frozenset()
    unmasked: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What a read may see: one page, cut at a moment, narrowed by attributes and rights.

    Issued by :func:`open_view` alone.

    Parameters
    ----------
    scope : Scope
        Page, and the agent or run to narrow it to.
    principal : str
        Who asks.
    rights : tuple of Right or None
        What the principal may see; None is everything. Those of other principals than the owner
        are empty until :func:`mnemos.kernel.governance.grants.admit` has looked them up in the
        reader's own snapshot.
    names : frozenset of str
        The principal, and the groups it belongs to, found there as well.
    branch : int
        0 is the main line.
    as_of : int or None
        Journal seq: only what was recorded up to it. None is now.
    valid_at : datetime or None
        Only what was true in the world at this moment. None hides what has ceased to be true.
    ended : bool
        Without ``valid_at``: show what has ceased to be true as well.
    now : datetime
        The reader's own moment; what expired before it is invisible.
    kinds : frozenset of Kind or None
        Narrow to these kinds. None is all.
    states : frozenset of State
        Which life-cycle states are visible.
    """

    scope: Scope
    principal: str = OWNER
    rights: tuple[Right, ...] | None = ()
    names: frozenset[str] = frozenset()
    branch: int = 0
    as_of: int | None = None
    valid_at: datetime | None = None
    ended: bool = False
    now: datetime
    kinds: frozenset[Kind] | None = None
    states: frozenset[State] = CURRENT_STATES
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        _check_seal(seal)

    def __init_subclass__(cls) -> None:
        _refuse_heirs()

    @property
    def tenant(self) -> str:
        """The tenant every statement is bound to."""
        return self.scope.tenant

    @property
    def subject(self) -> str:
        """The subject every statement is bound to."""
        return self.scope.subject


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantView:
    """Everything of one tenant: for writes, whose scope the commit checks, and for its owner."""

    tenant: str
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        _check_seal(seal)

    def __init_subclass__(cls) -> None:
        _refuse_heirs()

    @property
    def subject(self) -> None:
        """No subject: all of the tenant's."""
        return


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemView:
    """The whole vault: for verify, jobs, copies and changes of form. No caller can obtain it."""

    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        _check_seal(seal)

    def __init_subclass__(cls) -> None:
        _refuse_heirs()

    @property
    def tenant(self) -> None:
        """No tenant: all there are."""
        return

    @property
    def subject(self) -> None:
        """No subject: all there are."""
        return


def open_view(
    scope: Scope,
    *,
    now: datetime,
    principal: str = OWNER,
    as_of: int | None = None,
    valid_at: datetime | None = None,
    ended: bool = False,
    branch: int = MAIN,
    kinds: Iterable[Kind] | None = None,
    states: Iterable[State] = CURRENT_STATES,
) -> View:
    """Return the view a principal has of one subject's page.

    The owner of an embedded vault sees everything: there scope is isolation, not security. Any
    other principal sees nothing until :func:`mnemos.kernel.governance.grants.admit` has found what
    was granted.

    Raises
    ------
    InvalidInput
        If ``now`` or ``valid_at`` has no time zone, or ``as_of`` is negative.
    """
    if now.tzinfo is None:
        raise InvalidInput(f"now={now!r} has no time zone; pass an aware datetime")
    if valid_at is not None and valid_at.tzinfo is None:
        raise InvalidInput(f"valid_at={valid_at!r} has no time zone; pass an aware datetime")
    if as_of is not None and as_of < 0:
        raise InvalidInput(f"as_of={as_of!r} is not a journal position; allowed: 0 and above")
    return View(
        scope=scope,
        principal=principal,
        rights=None if principal == OWNER else (),
        branch=branch,
        as_of=as_of,
        valid_at=valid_at,
        ended=ended,
        now=now,
        kinds=frozenset(kinds) if kinds is not None else None,
        states=frozenset(states),
        seal=_SEAL,
    )


def with_rights(view: View, rights: tuple[Right, ...] | None, names: frozenset[str]) -> View:
    """Return a view with the rights its principal was found to have."""
    return View(
        scope=view.scope,
        principal=view.principal,
        rights=rights,
        names=names,
        branch=view.branch,
        as_of=view.as_of,
        valid_at=view.valid_at,
        ended=view.ended,
        now=view.now,
        kinds=view.kinds,
        states=view.states,
        seal=_SEAL,
    )


def tenant_view(tenant: str) -> TenantView:
    """Return the view of everything of a tenant."""
    return TenantView(tenant=tenant, seal=_SEAL)


def system_view() -> SystemView:
    """Return the view of the whole vault; only the kernel may ask (see ``system``)."""
    return SystemView(seal=_SEAL)
