"""Accidents at a chosen write step: count them, fail at one, or die at one.

Run the write once with :class:`CountFaults` to learn its steps, then once per step with
:class:`RaiseAt` in this process or :class:`KillAt` in a child, and look at what is left.
"""

from __future__ import annotations

import errno
import os
import signal


class CountFaults:
    """A :class:`mnemos.kernel.ports.Faults` that lets everything pass and writes it down.

    Examples
    --------
    >>> faults = CountFaults()
    >>> faults.reach("sql")
    >>> faults.reach("commit")
    >>> faults.steps
    ['sql', 'commit']
    """

    def __init__(self) -> None:
        self.steps: list[str] = []
        """The steps reached, in order."""

    def reach(self, step: str) -> None:
        """Write the step down."""
        self.steps.append(step)


class RaiseAt:
    """Raises an error before one write step is made; the steps after it are made.

    Parameters
    ----------
    n : int
        Which step, from 1. More can be armed later by setting :attr:`left`.
    error : BaseException
        What to raise; :func:`disk_full` makes the classic one.
    step : str or None
        Count only steps of this name. None counts all.

    Examples
    --------
    >>> faults = RaiseAt(2, OSError("no"))
    >>> faults.reach("sql")
    >>> faults.reach("sql")
    Traceback (most recent call last):
        ...
    OSError: no
    >>> faults.reach("sql")
    """

    def __init__(self, n: int, error: BaseException, *, step: str | None = None) -> None:
        self.left = n
        """Steps to go until the error; below 1 nothing is raised any more."""
        self._error = error
        self._step = step

    def reach(self, step: str) -> None:
        """Raise if this is the step."""
        if self._step is None or step == self._step:
            self.left -= 1
            if self.left == 0:
                raise self._error


class KillAt:
    """Ends this process like a power cut before one write step: nothing is flushed or undone.

    Parameters
    ----------
    n : int
        Which step, from 1.
    step : str or None
        Count only steps of this name. None counts all.
    """

    def __init__(self, n: int, *, step: str | None = None) -> None:
        self.left = n
        self._step = step

    def reach(self, step: str) -> None:
        """Die if this is the step."""
        if self._step is None or step == self._step:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def disk_full() -> OSError:
    """Return what a file system raises when there is no room left.

    >>> disk_full().errno == errno.ENOSPC
    True
    """
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
