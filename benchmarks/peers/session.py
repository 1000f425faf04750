"""A worker process, spoken to by JSON lines; see ``worker.py`` for its side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any, Self

from catalogue import HERE, Peer
from environments import PeerFailed

import mnemos

SILENCE = {
    "ANONYMIZED_TELEMETRY": "False",
    "HF_HUB_OFFLINE": "1",
    "MEM0_TELEMETRY": "False",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Peers report to their makers or look for models unless told not to; and one thread of algebra
for everybody, since waiting threads count as processor time."""


def _environment(peer: Peer) -> dict[str, str]:
    """Return the variables a peer runs with: Mnemos is the one imported here, peers see none."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if peer.requirements is None:
        variables["PYTHONPATH"] = str(Path(mnemos.__file__).absolute().parents[1])
    return variables | SILENCE


class Session:
    """One peer in a process of its own.

    Parameters
    ----------
    peer : Peer
        Who runs.
    python : Path
        The interpreter of its environment.
    data : Path
        Folder of the run's items and questions.
    folder : Path
        Where the peer keeps what it keeps.
    limit : float
        Seconds after which the process is killed.
    """

    def __init__(self, peer: Peer, *, python: Path, data: Path, folder: Path, limit: float) -> None:
        self.peer = peer
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._limit = limit
        self._late = False
        self._errors = folder.with_name(f"{folder.name}-{os.getpid()}-{id(self)}.err")
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(python), str(HERE / "worker.py"), str(peer.adapter_file), str(data)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=_environment(peer),
                cwd=folder,
            )
        self._timer = Timer(limit, self._stop_late)
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            # Closing what a killed process no longer reads would raise.
            with suppress(BrokenPipeError):
                pipe.close()

    def open(self) -> dict[str, Any]:
        """Open the store in the folder."""
        return self.call("open", folder=str(self._folder), variant=self.peer.variant)

    def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.send(do, **arguments)
        for answer in self.answers():
            if "done" in answer:
                return answer
        raise PeerFailed(self.reason())

    def send(self, do: str, **arguments: Any) -> None:
        """Send a command; what it answers is read with :meth:`answers`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise PeerFailed(self.reason()) from error

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield answers until the process ends; a line cut by its end is no answer."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):
                yield json.loads(line)

    def kill(self) -> None:
        """End the process as a power switch would end it, if it still runs."""
        self._timer.cancel()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)

    def drain(self) -> list[dict[str, Any]]:
        """Return what was answered before the end and not yet read, and let go of the process."""
        rest = list(self.answers())
        self._process.wait()
        return rest

    def reason(self) -> str:
        """Return why the process ended."""
        self._process.wait()
        if self._late:
            return f"stopped after {self._limit:.0f} s"
        lines = self._errors.read_text("utf-8", "replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        raised = [line for line in said if line.partition(":")[0].endswith(("Error", "Exception"))]
        reason = (raised or said or [f"ended with {self._process.returncode}"])[-1]
        return reason.replace(f"{self._folder.parent}{os.sep}", "")[:200]

    def _stop_late(self) -> None:
        self._late = True
        self.kill()
