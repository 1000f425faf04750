"""One virtual environment for each peer, made once and kept in a folder.

The files in ``requirements/`` name everything an environment holds, so ``pip`` resolves nothing
(``--no-deps``) and brings no CUDA packages.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path


class PeerFailed(RuntimeError):
    """A peer cannot be installed or run; the message is the reason the table shows."""


def default_folder() -> Path:
    """Return where environments are kept when nobody says otherwise."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "mnemos-peers"


def python_of(requirements: Path | None, folder: Path) -> Path:
    """Return the interpreter of an environment, which is made where there is none.

    Parameters
    ----------
    requirements : Path or None
        Names all its packages; None is the environment the harness runs in.
    folder : Path
        Where environments are kept.

    Raises
    ------
    PeerFailed
        If it cannot be installed.
    """
    if requirements is None:
        return Path(sys.executable)
    own = folder / requirements.stem
    python = own / "bin" / "python"
    installed = own / "installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if installed.is_file() and installed.read_text("ascii") == wanted:
        return python
    print(f"-- installing {requirements.stem} into {own}", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(own)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", "--requirement", str(requirements)])
    installed.write_text(wanted, "ascii")
    return python


def _run(command: list[str]) -> None:
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        lines = [line for line in run.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no reason"]
        message = f"install: {errors[0][:200]}"
        raise PeerFailed(message)
