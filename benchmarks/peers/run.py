"""Mnemos beside other memory stores that work without a language model: one run, one table.

    python benchmarks/peers/run.py locomo --data PATH --out record.json
    python benchmarks/peers/run.py harbour --peers mnemos,chroma,bm25 --kills 0
    python benchmarks/peers/run.py --show record.json --format github

See README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import record
from campaign import Plan, measure
from catalogue import HERE, choose
from environments import PeerFailed, default_folder, python_of
from table import render
from workload import Workload, prepare

from mnemos.app.config import read_embedder
from mnemos.errors import InvalidInput
from mnemos.kernel.ports import Embedder


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("task", nargs="?", default="harbour", help="a task of mnemos bench")
    found.add_argument("--data", type=Path, help="where its data lies")
    found.add_argument("--peers", default="", help="names with commas; all without it")
    found.add_argument("--out", type=Path, help="where to write the record")
    found.add_argument("--charts", type=Path, help="folder for two charts")
    found.add_argument("--envs", type=Path, default=default_folder(), help="environments, vectors")
    found.add_argument("--kills", type=int, default=3, help="trials of kill -9 for each store")
    found.add_argument("--seconds", type=float, default=120.0, help="for the questions, each peer")
    found.add_argument("--limit", type=float, default=900.0, help="for a process of a peer")
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--format", default="simple", help="of the table, as tabulate names it")
    found.add_argument("--show", type=Path, help="print the table of a record; measure nothing")
    return found


def run(
    workload: Workload, names: Sequence[str], plan: Plan, *, command: str, out: Path | None
) -> record.Run:
    """Measure the peers named, one after the other, and return the record.

    Parameters
    ----------
    workload : Workload
        What they are given.
    names : sequence of str
        Rows of the catalogue; none means all.
    plan : Plan
        How to measure.
    command : str
        Printed with the table.
    out : Path or None
        File that holds the record after each peer, so that a run that is stopped leaves something.
    """
    loads = [os.getloadavg()[0]]
    measured = record.Run(
        command=command,
        task=workload.task,
        data_sha256=workload.sha256,
        embedder=workload.embedder,
        memories=len(workload.items),
        questions=len(workload.questions),
        seed=plan.seed,
        platform=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        cores=os.cpu_count() or 1,
        load=(loads[0], loads[0]),
        entries=(),
    )
    for peer in choose(names):
        print(f"-- {datetime.now(UTC):%H:%M:%S} {peer.name}", file=sys.stderr, flush=True)
        entry = measure(peer, workload, plan)
        loads.append(os.getloadavg()[0])
        measured = replace(
            measured, entries=(*measured.entries, entry), load=(min(loads), max(loads))
        )
        if out is not None:
            out.write_text(record.to_json(measured), "utf-8")
    return measured


def main(arguments: Sequence[str] | None = None, *, embedder: Embedder | None = None) -> int:
    """Run the command line; ``embedder`` stands for the local model."""
    options = parser().parse_args(arguments)
    try:
        measured = record.load(options.show) if options.show else _measured(options, embedder)
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(render(measured, options.format))
    if options.charts:
        _draw(measured, options.charts, options.envs)
    return 0


def _measured(options: argparse.Namespace, embedder: Embedder | None) -> record.Run:
    names = [name for name in options.peers.split(",") if name]
    choose(names)
    model = embedder or read_embedder("auto").get()
    if model is None:
        message = "peers search by meaning and there are no weights; fetch them with make install"
        raise InvalidInput(message)
    workload = prepare(
        options.task, options.data, embedder=model, cache=options.envs, seed=options.seed
    )
    given = shlex.join(["--peers", options.peers]) if options.peers else ""
    data = "--data PATH" if options.data else ""
    words = ["python benchmarks/peers/run.py", options.task, data, given]
    with tempfile.TemporaryDirectory(prefix="mnemos-peers-") as folder:
        plan = Plan(
            environments=options.envs.absolute(),
            folder=Path(folder),
            seconds=options.seconds,
            limit=options.limit,
            kills=options.kills,
            seed=options.seed,
        )
        command = " ".join(word for word in words if word)
        return run(workload, names, plan, command=command, out=options.out)


def _draw(measured: record.Run, folder: Path, environments: Path) -> None:
    """Draw the charts in an environment of their own, or say why not."""
    try:
        python = python_of(HERE / "requirements" / "charts.txt", environments)
    except PeerFailed as error:
        print(f"no charts: {error}", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "record.json"
        path.write_text(record.to_json(measured), "utf-8")
        script = HERE / "charts.py"
        subprocess.run([str(python), str(script), str(path), str(folder)], check=True)


if __name__ == "__main__":
    sys.exit(main())
