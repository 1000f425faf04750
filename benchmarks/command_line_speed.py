"""How long `mnemos search` takes as a whole process, on the demo's vault.

make demo && .venv/bin/python benchmarks/command_line_speed.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", type=Path, default=Path("demo/memory.db"))
    parser.add_argument("--user", default="marisa")
    parser.add_argument("--query", default="Who is Admiral Yi?")
    parser.add_argument("--runs", type=int, default=20)
    given = parser.parse_args()
    if not given.db.exists():
        sys.exit(f"there is no {given.db}; run `make demo` first, or name a vault with --db")
    command = [sys.executable, "-m", "mnemos.cli", "search", given.query]
    command += ["--db", str(given.db), "--user", given.user]
    subprocess.run(command, capture_output=True, check=True)
    seconds = []
    for _ in range(given.runs):
        begin = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        seconds.append(time.perf_counter() - begin)
    report = {
        "runs": given.runs,
        "median_s": round(statistics.median(seconds), 3),
        "min_s": round(min(seconds), 3),
        "max_s": round(max(seconds), 3),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
