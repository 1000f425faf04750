"""Laws of strength: how strong a memory is at a moment, from how it was used.

Decay and capacity archive what is weakest; which law says so is a policy's choice. Each law is a
published formula over :class:`mnemos.kernel.upkeep.usage.UsageOf`, on days or hours instead of the
papers' turns where those counted turns. Strengths of different laws are not comparable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar

from mnemos.errors import InvalidInput
from mnemos.kernel.upkeep.usage import UsageOf
from mnemos.memories.input_values import shown

HOUR = 3_600.0
DAY = 24 * HOUR

Bounds = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ebbinghaus:
    """The forgetting curve with reinforcement, in (0, 1].

    R = exp(-t/S), t days since the last recall, S growing by ``gain`` with every recall
    (MemoryBank, Zhong et al. 2024, section 2.3). The authors' code computes exp(-t/5*S), by which
    a stronger memory is forgotten sooner; this follows the paper.

    Parameters
    ----------
    stability_days : float
        S before the first recall.
    gain : float
        Days of stability one recall adds; the paper's is 1.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> round(Ebbinghaus().strength(UsageOf(recorded=start), start + timedelta(days=1)), 3)
    0.368
    """

    BOUNDS: ClassVar[Bounds] = {"stability_days": (1e-6, 1e6), "gain": (0, 1e6)}

    stability_days: float = 1.0
    gain: float = 1.0

    def strength(self, usage: UsageOf, now: datetime) -> float:
        """Return the share of the memory retained."""
        return math.exp(-usage.idle(now) / DAY / (self.stability_days + self.gain * usage.reads))


@dataclass(frozen=True, kw_only=True, slots=True)
class Heat:
    """How hot a memory is: visits, length and recency added up, 0 and above.

    H = alpha * N_visit + beta * L_interaction + gamma * exp(-dt/tau), dt since the last visit
    (MemoryOS, 2025, section 3.3). Visits are reads; L is the number of turns it stands for. tau is 24 hours in the
    authors' library and 1e7 s in the paper.

    Parameters
    ----------
    visits, length, recency : float
        alpha, beta and gamma.
    tau_hours : float
        tau.

    Examples
    --------
    >>> from datetime import UTC
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> Heat().strength(UsageOf(recorded=start, reads=3, last=start), start)
    5.0
    """

    BOUNDS: ClassVar[Bounds] = {
        "visits": (0, 1e6),
        "length": (0, 1e6),
        "recency": (0, 1e6),
        "tau_hours": (1e-6, 1e9),
    }

    visits: float = 1.0
    length: float = 1.0
    recency: float = 1.0
    tau_hours: float = 24.0

    def strength(self, usage: UsageOf, now: datetime) -> float:
        """Return the heat."""
        fresh = math.exp(-usage.idle(now) / (self.tau_hours * HOUR))
        return self.visits * usage.reads + self.length * usage.interactions + self.recency * fresh


@dataclass(frozen=True, kw_only=True, slots=True)
class AgeWeighted:
    """Salience that fades with age and is raised by every retrieval, 0 and above.

    w = (w0 + boost * reads) * exp(-lambda * age) (HEMA, 2025, age-weighted pruning), age in days
    since it was written; the paper counts turns. The weakest are pruned.

    Parameters
    ----------
    initial : float
        w0.
    rate : float
        lambda per day.
    boost : float
        Added to w0 by every read.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> later = start + timedelta(days=100)
    >>> round(AgeWeighted().strength(UsageOf(recorded=start), later), 3)
    0.368
    """

    BOUNDS: ClassVar[Bounds] = {"initial": (1e-9, 1e6), "rate": (0, 1e6), "boost": (0, 1e6)}

    initial: float = 1.0
    rate: float = 0.01
    boost: float = 1.0

    def strength(self, usage: UsageOf, now: datetime) -> float:
        """Return the salience."""
        start = self.initial + self.boost * usage.reads
        return start * math.exp(-self.rate * usage.age(now) / DAY)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompetitionInhibition:
    """Recalled memories compete, those that lose are suppressed; 0 and above.

    S = f * (alpha * exp(-gamma * (r-b)) + beta * Σ 1/(r-r'+eps)), summed over the rounds r' of its
    recalls; b is its birth, r now (MOOM, 2025, forgetting by competition and inhibition). f is the suppression kept from round to
    round (:func:`mnemos.kernel.upkeep.usage.weigh`), lifted by the next recall. Usage keeps the first and
    the last recall and their number, so those between are taken as evenly spread. eps is 1: near 0,
    as published, one recall a moment ago outweighs every other.

    Parameters
    ----------
    birth, recall : float
        alpha and beta, 1 to 9 in the paper.
    rate : float
        gamma per round.
    round_hours : float
        What a round is in time.
    epsilon : float
        eps in rounds.

    Examples
    --------
    >>> from datetime import UTC
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> once = UsageOf(recorded=start, reads=1, first=start, last=start)
    >>> CompetitionInhibition().strength(once, start)
    1.0
    """

    BOUNDS: ClassVar[Bounds] = {
        "birth": (0, 1e6),
        "recall": (0, 1e6),
        "rate": (0, 1e6),
        "round_hours": (1e-6, 1e6),
        "epsilon": (1e-3, 1e6),
    }

    birth: float = 0.1
    recall: float = 0.9
    rate: float = 1.0
    round_hours: float = 1.0
    epsilon: float = 1.0

    def strength(self, usage: UsageOf, now: datetime) -> float:
        """Return the strength of a competitor."""
        hours = self.round_hours * HOUR
        born = self.birth * math.exp(-self.rate * usage.age(now) / hours)
        latest = usage.idle(now) / hours
        earliest = max(latest, (now - (usage.first or now)).total_seconds() / hours)
        return usage.factor * (born + self.recall * self._recalls(usage.reads, latest, earliest))

    def _recalls(self, reads: int, latest: float, earliest: float) -> float:
        """Return Σ 1/(rounds ago + eps): the last 64 recalls one by one, the rest as an integral."""
        near = min(reads, 64)
        step = (earliest - latest) / max(1, reads - 1)
        total = math.fsum(1 / (latest + place * step + self.epsilon) for place in range(near))
        if near == reads:
            return total
        first, last = latest + near * step + self.epsilon, earliest + self.epsilon
        if last - first < 1e-9 * first:
            return total + (reads - near) / first
        return total + math.log(last / first) / step + (1 / first + 1 / last) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Recency:
    """How lately a memory was used, in (0, 1].

    decay^h, h hours since it was last read or written: the recency of generative agents (Park et
    al. 2023, section 4.1), and the part of SCM's rank (Wang et al. 2023, recency + relevance) that
    needs no question; relevance belongs to a search. The order is that of least recently used.

    Parameters
    ----------
    decay : float
        What is left after an hour.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> Recency().strength(UsageOf(recorded=start), start + timedelta(hours=1))
    0.995
    """

    BOUNDS: ClassVar[Bounds] = {"decay": (1e-9, 1.0)}

    decay: float = 0.995

    def strength(self, usage: UsageOf, now: datetime) -> float:
        """Return the recency."""
        return self.decay ** (usage.idle(now) / HOUR)


@dataclass(frozen=True, kw_only=True, slots=True)
class Frequency:
    """How often a memory is used for its age, above 0: the least frequently used is the weakest.

    (1 + reads)/(1 + age/period): XMem (Cheng and Schwing 2022, section 3.3) divides the attention
    a memory has received by the time it had to receive it. Here writing counts as one use and the
    first period is given, so that what is new is not the weakest.

    Parameters
    ----------
    period_days : float
        Unit of the age.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> Frequency().strength(UsageOf(recorded=start, reads=3), start + timedelta(days=1))
    2.0
    """

    BOUNDS: ClassVar[Bounds] = {"period_days": (1e-6, 1e6)}

    period_days: float = 1.0

    def strength(self, usage: UsageOf, now: datetime) -> float:
        """Return uses per period."""
        return (1 + usage.reads) / (1 + usage.age(now) / DAY / self.period_days)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fifo:
    """How new a memory is, in (0, 1], whatever its use: first in, first out.

    1/(1 + age/period). The queue of MemGPT (Packer et al. 2023, section 2.2), which evicts its
    oldest messages, and the ring buffers of ReLoop2 (2023), which overwrite theirs.

    Parameters
    ----------
    period_days : float
        Age at which half is left.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> start = datetime(2026, 1, 1, tzinfo=UTC)
    >>> Fifo().strength(UsageOf(recorded=start, reads=9), start + timedelta(days=1))
    0.5
    """

    BOUNDS: ClassVar[Bounds] = {"period_days": (1e-6, 1e6)}

    period_days: float = 1.0

    def strength(self, usage: UsageOf, now: datetime) -> float:
        """Return the newness."""
        return 1 / (1 + usage.age(now) / DAY / self.period_days)


AnyLaw = Ebbinghaus | Heat | AgeWeighted | CompetitionInhibition | Recency | Frequency | Fifo

LAWS: Mapping[str, type[AnyLaw]] = {
    "ebbinghaus": Ebbinghaus,
    "heat": Heat,
    "age_weighted": AgeWeighted,
    "competition": CompetitionInhibition,
    "recency": Recency,
    "frequency": Frequency,
    "fifo": Fifo,
}
"""Every law by the name policies give it."""


_DEFAULT: Mapping[str, Any] = {"law": "ebbinghaus"}


def read_law(spec: Mapping[str, Any] | str | None = None) -> AnyLaw:
    """Return the law a policy names, with its parameters.

    Parameters
    ----------
    spec : mapping, str or None
        ``{"law": name, parameter: value, …}``, a name alone, or None for ``ebbinghaus``.

    Raises
    ------
    InvalidInput
        If the law or a parameter is unknown, or a value out of its bounds; the message lists
        what is allowed.

    Examples
    --------
    >>> read_law({"law": "ebbinghaus", "stability_days": 30})
    Ebbinghaus(stability_days=30.0, gain=1.0)
    """
    given: Mapping[str, Any] = {"law": spec} if isinstance(spec, str) else spec or _DEFAULT
    name = given.get("law")
    law = LAWS.get(name) if isinstance(name, str) else None
    if law is None:
        raise InvalidInput(
            f"law={shown(spec)} is unknown; give a name or {{'law': name, …}}, allowed: "
            f"{', '.join(LAWS)}"
        )
    values = {key: value for key, value in given.items() if key != "law"}
    for key, value in values.items():
        _check(str(name), law.BOUNDS, key, value)
    return law(**{key: float(value) for key, value in values.items()})


def write_law(law: AnyLaw) -> dict[str, Any]:
    """Return the JSON value :func:`read_law` reads.

    >>> write_law(Fifo())
    {'law': 'fifo', 'period_days': 1.0}
    """
    name = next(name for name, kind in LAWS.items() if kind is type(law))
    return {"law": name} | {item.name: getattr(law, item.name) for item in fields(law)}


def _check(law: str, bounds: Bounds, key: str, value: object) -> None:
    allowed = ", ".join(f"{name} {least:g}–{most:g}" for name, (least, most) in bounds.items())
    if key not in bounds:
        raise InvalidInput(f"the law {law!r} has no parameter {shown(key)}; allowed: {allowed}")
    least, most = bounds[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise InvalidInput(f"{law}: {key}={shown(value)} is not allowed; give {allowed}")
