"""A clock that stands still until it is told to move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mnemos.errors import InvalidInput

_START = datetime(2026, 1, 1, tzinfo=UTC)


class SimClock:
    """A :class:`mnemos.kernel.ports.Clock` under the test's control.

    Parameters
    ----------
    start : datetime
        The first moment, with a time zone.

    Raises
    ------
    InvalidInput
        If ``start`` has no time zone.

    Examples
    --------
    >>> clock = SimClock(datetime(2026, 3, 1, tzinfo=UTC))
    >>> clock.advance(hours=36)
    >>> clock.now().isoformat()
    '2026-03-02T12:00:00+00:00'
    """

    def __init__(self, start: datetime = _START) -> None:
        self._now = _START
        self.set(start)

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return self._now

    def advance(
        self,
        by: timedelta = timedelta(0),
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Move on by a span; a negative one turns the clock back."""
        self._now += by + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)

    def set(self, moment: datetime) -> None:
        """Put the clock to a moment, forward or back.

        Raises
        ------
        InvalidInput
            If ``moment`` has no time zone.
        """
        if moment.tzinfo is None:
            raise InvalidInput(f"{moment!r} has no time zone; pass an aware datetime")
        self._now = moment.astimezone(UTC)
