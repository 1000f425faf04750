"""Measures one peer after the other, each in processes of its own."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from catalogue import MEMORY, Peer
from environments import PeerFailed, python_of
from record import Costs, Entry, Kills, Ranks, Second
from session import Session
from workload import Workload

DEPTH = 20
"""Hits asked for when quality is measured."""

TOP = 10
"""Hits asked for when a search is timed."""

TIMED = 200
"""Most searches that are timed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How a run measures.

    Parameters
    ----------
    environments : Path
        Where environments are kept.
    folder : Path
        Where peers keep their files during the run.
    seconds : float
        Most seconds a peer is given for the questions; a slower one answers a sample.
    limit : float
        Seconds after which a process of a peer is stopped.
    kills : int
        Trials of ``kill -9``.
    seed : int
        Of the moments of killing.
    """

    environments: Path
    folder: Path
    seconds: float
    limit: float
    kills: int
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a peer runs: its interpreter and the two folders of data."""

    peer: Peer
    python: Path
    data: Path
    distinct: Path
    plan: Plan

    def session(self, data: Path, name: str) -> Session:
        folder = self.plan.folder / self.peer.name / name
        return Session(
            self.peer, python=self.python, data=data, folder=folder, limit=self.plan.limit
        )


def measure(peer: Peer, workload: Workload, plan: Plan) -> Entry:
    """Measure a peer; one that cannot be installed or run is an entry with the reason."""
    entry = Entry(
        name=peer.name,
        kept=peer.kept,
        package=peer.package,
        version=peer.version,
        licence=peer.licence,
        bulk=peer.bulk,
        note=peer.note,
    )
    distinct = workload.distinct()
    try:
        place = _Place(
            peer=peer,
            python=python_of(peer.requirements_file, plan.environments),
            data=workload.write(plan.folder / "data"),
            distinct=distinct.write(plan.folder / "distinct"),
            plan=plan,
        )
        ranks, costs = _quality_and_costs(place, workload)
    except PeerFailed as error:
        shutil.rmtree(plan.folder / peer.name, ignore_errors=True)
        return replace(entry, failed=str(error))
    entry = replace(entry, ranks=ranks, costs=costs)
    # A bulk or flat row keeps its memories where the row it belongs to does.
    if peer.kept != MEMORY and not peer.bulk and peer.variant != "flat":
        ids = [str(item["id"]) for item in distinct.items]
        entry = replace(
            entry,
            second=_second_process(place, ids),
            kills=_kills(place, ids) if plan.kills else None,
        )
    shutil.rmtree(plan.folder / peer.name, ignore_errors=True)
    return entry


def _quality_and_costs(place: _Place, workload: Workload) -> tuple[dict[str, Ranks], Costs]:
    plan, count = place.plan, len(workload.items)
    places = list(range(len(workload.questions)))
    with place.session(place.data, "store") as session:
        before = session.open()
        if place.peer.bulk:
            added = session.call("add_all")
        else:
            added = session.call("add", start=0, stop=count)
        asked = session.call("ask", k=DEPTH, places=places, seconds=plan.seconds)
        timed = session.call("ask", k=TOP, places=places[:TIMED], seconds=plan.seconds / 4)
        session.call("close")
    ranks = {
        question.id: question.ranks(found)
        for question, found in zip(workload.questions, asked["found"], strict=False)
    }
    folder = plan.folder / place.peer.name / "store"
    return ranks, _costs(before, added, timed, count=count, bytes=size_of(folder))


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _costs(
    before: dict[str, Any], added: dict[str, Any], timed: dict[str, Any], *, count: int, bytes: int
) -> Costs:
    grown = None
    if before["rss"] is not None and timed["rss"] is not None:
        grown = round((timed["rss"] - before["rss"]) / 2**20, 1)
    return Costs(
        add_seconds=round(added["seconds"], 6),
        add_cpu_ms=round(added["cpu_seconds"] * 1000 / count, 4),
        search_ms_p50=round(float(np.percentile(timed["wall_ms"], 50)), 3),
        search_ms_p95=round(float(np.percentile(timed["wall_ms"], 95)), 3),
        search_cpu_ms=round(statistics.median(timed["cpu_ms"]), 3),
        rss_mb=grown,
        bytes_per_memory=round(bytes / count, 1),
    )


def _acks(answers: Sequence[dict[str, Any]]) -> list[str]:
    return [answer["ack"] for answer in answers if "ack" in answer]


def _missing(place: _Place, name: str, ids: Sequence[str]) -> tuple[int, str]:
    """Return how many memories a new process does not find, and why if it cannot even look."""
    with place.session(place.distinct, name) as session:
        try:
            session.open()
            return len(session.call("find", ids=list(ids))["missing"]), ""
        except PeerFailed as error:
            return len(ids), f"not readable afterwards: {error}"


def _second_process(place: _Place, ids: Sequence[str]) -> Second:
    """Let two processes write at the same time, then count in a third."""
    third = max(len(ids) // 8, 1)
    acked: list[str] = []
    opened, reason = True, ""
    with (
        place.session(place.distinct, "two") as first,
        place.session(place.distinct, "two") as second,
    ):
        try:
            first.open()
            acked += _written(first, 0, third)
        except PeerFailed as error:
            return Second(opened=False, acknowledged=0, lost=0, reason=f"the first: {error}")
        try:
            second.open()
        except PeerFailed as error:
            opened, reason = False, str(error)
        starts = {first: third} | ({second: 2 * third} if opened else {})
        try:
            for session, start in starts.items():
                session.send("add", start=start, stop=start + third, acks=True)
            for session in starts:
                acked += _until_done(session)
            for session in starts:
                session.call("finish")
                session.call("close")
        except PeerFailed as error:
            reason = str(error)
    lost, why = _missing(place, "two", acked)
    return Second(opened=opened, acknowledged=len(acked), lost=lost, reason=reason or why)


def _written(session: Session, start: int, stop: int) -> list[str]:
    session.send("add", start=start, stop=stop, acks=True)
    return _until_done(session)


def _until_done(session: Session) -> list[str]:
    acked: list[str] = []
    for answer in session.answers():
        if "done" in answer:
            return acked
        acked.append(answer["ack"])
    raise PeerFailed(session.reason())


def _kills(place: _Place, ids: Sequence[str]) -> Kills:
    """Kill a writing process at a random moment, count in another, and do so again."""
    random = Random(place.plan.seed)
    acknowledged: list[int] = []
    lost: list[int] = []
    reason = ""
    for trial in range(place.plan.kills):
        name = f"kill-{trial}"
        try:
            acked = _killed(place, name, len(ids), random)
        except PeerFailed as error:
            return Kills(
                acknowledged=tuple(acknowledged), lost=tuple(lost), reason=f"writing: {error}"
            )
        missing, why = _missing(place, name, acked)
        acknowledged.append(len(acked))
        lost.append(missing)
        reason = reason or why
    return Kills(acknowledged=tuple(acknowledged), lost=tuple(lost), reason=reason)


def _killed(place: _Place, name: str, count: int, random: Random) -> list[str]:
    """Return what a process acknowledged before it was killed."""
    target = random.randint(max(count // 16, 1), max(count // 2, 1))
    with place.session(place.distinct, name) as session:
        session.open()
        session.send("add", start=0, stop=count, acks=True)
        acked: list[str] = []
        for answer in session.answers():
            acked += _acks([answer])
            if len(acked) >= target:
                time.sleep(random.uniform(0, 0.01))
                session.kill()
                return acked + _acks(session.drain())
    raise PeerFailed(session.reason())
