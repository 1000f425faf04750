"""``demo``: a vault made from a conversation, asked, packed, lied to, made to forget, verified."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnemos.cli import documents, output
from mnemos.cli.options import example, json_option
from mnemos.errors import InvalidInput
from mnemos.types import Hit, Hits

if TYPE_CHECKING:
    from mnemos.app.memory import Memory
    from mnemos.cli.demo_material import Material, Question

PLACE = "demo/memory.db"
SLICE = 128
"""Turns embedded and written together: smaller ones move the bar more often but cost more."""

SHOWN = 3
"""Hits shown for a question."""


class Stage:
    """Where the demo is shown: printed as it runs, or collected for one JSON document."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.facts: dict[str, Any] = {}
        self.width = output.columns()
        self._scenes = 0

    def say(self, text: str = "", indent: int = 0, **style: Any) -> None:
        """Print text, wrapped, unless a document was asked for."""
        if self.as_json:
            return
        for line in output.wrap(text, self.width - indent) if text else [""]:
            output.say(" " * indent + (click.style(line, **style) if style else line))

    def lines(self, lines: Sequence[str], indent: int = 0, **style: Any) -> None:
        """Print lines as they are."""
        for line in () if self.as_json else lines:
            output.say(" " * indent + (click.style(line, **style) if style else line))

    def scene(self, title: str) -> None:
        """Print a heading."""
        self._scenes += 1
        head = f"── {self._scenes}  {title} "
        self.say()
        self.lines([head + "─" * (self.width - output.cells(head))], bold=True)


@click.command(epilog=example("mnemos demo", "mnemos demo --data my-chat.jsonl --db my-demo.db"))
@click.option("--data", metavar="FILE", help="Your own conversation in place of the shipped one.")
@click.option(
    "--db", metavar="PATH", default=PLACE, show_default=True, help="Where the vault is made."
)
@click.option("--keep", is_flag=True, help="Use the vault that is there instead of a fresh one.")
@click.option("--tz", metavar="ZONE", default="UTC", show_default=True, help="Zone of the file.")
@click.option("--no-embedder", is_flag=True, help="Recall by words only, without the model.")
@json_option
def demo(
    data: str | None, db: str, keep: bool, tz: str, no_embedder: bool, json: bool
) -> int | None:
    """See it work: ingest, ask, pack, distrust, forget, verify."""
    from mnemos.app.memory import Memory
    from mnemos.cli import demo_material

    material = demo_material.own(Path(data), tz) if data else demo_material.harbour()
    vault = _place(db, keep=keep)
    stage = Stage(as_json=json)
    with Memory(vault, tz=tz, embedder=None if no_embedder else "auto") as memory:
        _introduce(stage, material, vault)
        _ingest(stage, memory, material)
        _ask(stage, memory, material)
        _pack(stage, memory, material)
        _distrust(stage, memory, material)
        _forget(stage, memory, material, vault)
        sound = _verify(stage, memory)
    _point_on(stage, material, db, own=data is not None)
    if json:
        output.emit(stage.facts)
    return None if sound else 1


def _place(db: str, *, keep: bool) -> Path:
    """Return where the vault goes, with nothing in the way."""
    vault = Path(db)
    if vault.exists() and not keep:
        if db != PLACE:
            raise InvalidInput(f"{db} is there already; pass --keep to use it, or another --db")
        for path in (vault, *vault.parent.glob(f"{vault.name}-*")):
            path.unlink(missing_ok=True)
        shutil.rmtree(f"{vault}.blobs", ignore_errors=True)
    vault.parent.mkdir(parents=True, exist_ok=True)
    return vault


def _introduce(stage: Stage, material: Material, vault: Path) -> None:
    headers = [draft.header for draft in material.drafts]
    moments = [header.happened_at for header in headers if header.happened_at is not None]
    speakers = Counter(header.speaker for header in headers if header.speaker)
    languages = sorted({header.language or "en" for header in headers})
    sessions = len({header.run_id for header in headers})
    facts: dict[str, Any] = {
        "file": material.name,
        "turns": len(headers),
        "sessions": sessions,
        "months": len({(moment.year, moment.month) for moment in moments}),
        "from": min(moments).isoformat() if moments else None,
        "to": max(moments).isoformat() if moments else None,
        "speakers": dict(speakers.most_common()),
        "languages": languages,
    }
    stage.facts |= {"vault": str(vault), "user": material.user, "conversation": facts}
    stage.scene("A conversation")
    months = f", {output.plural(facts['months'], 'month')}" if moments else ""
    stage.say(
        f"{material.name}: {output.plural(len(headers), 'turn')} in "
        f"{output.plural(sessions, 'session')}{months}"
    )
    if moments:
        first, last = (output.when(moment, UTC) for moment in (min(moments), max(moments)))
        stage.say(f"from {first} to {last} UTC")
    stage.say("speakers: " + ", ".join(f"{name} {n}" for name, n in speakers.most_common(8)))
    if len(languages) > 1:
        stage.say(f"{len(languages)} languages: {' '.join(languages)}")


def _ingest(stage: Stage, memory: Memory, material: Material) -> None:
    started = time.perf_counter()
    new = duplicates = 0
    with output.progress("remembering", len(material.drafts)) as advance:
        for start in range(0, len(material.drafts), SLICE):
            part = material.drafts[start : start + SLICE]
            receipt = memory.add_many(part, user_id=material.user)
            new += len(receipt.ids) - receipt.duplicates
            duplicates += receipt.duplicates
            advance(len(part))
    seconds = time.perf_counter() - started
    stats = memory.stats()
    stage.facts["ingest"] = {
        "new": new,
        "duplicates": duplicates,
        "seconds": round(seconds, 2),
        "bytes": stats.bytes,
        "embedder": stats.embedder,
    }
    stage.say(
        f"remembered {output.plural(new, 'turn')} in {seconds:.1f} s"
        + (f", {duplicates} were there already" if duplicates else "")
        + f"; one file of {output.size(stats.bytes)}, no server, no key, no network"
    )


def _ask(stage: Stage, memory: Memory, material: Material) -> None:
    stage.scene("Questions, and why each hit is there")
    asked: list[dict[str, Any]] = []
    stage.facts["questions"] = asked
    found = answerable = 0
    for number, question in enumerate(material.questions, start=1):
        started = time.perf_counter()
        hits = memory.search(question.text, user_id=material.user, top_k=SHOWN)
        ms = (time.perf_counter() - started) * 1000
        ranks = [
            rank
            for rank, hit in enumerate(hits, start=1)
            if hit.cube.header.external_id in question.evidence
        ]
        answerable += bool(question.evidence)
        found += bool(ranks)
        asked.append(
            {
                "question": question.text,
                "category": question.sort,
                "answer": question.answer,
                "evidence_ranks": ranks,
                "ms": round(ms, 1),
                "hits": [documents.hit_document(hit) for hit in hits],
            }
        )
        _show(stage, number, question, hits, ms)
        if number == 1:
            _legend(stage, hits)
    if answerable:
        stage.say()
        stage.say(
            f"● marks a turn that holds the answer: in the top {SHOWN} for {found} of the "
            f"{answerable} questions that have one. These were chosen to show different sorts; "
            "`mnemos bench harbour` asks all 160 and counts the misses too."
        )


def _show(stage: Stage, number: int, question: Question, hits: Hits, ms: float) -> None:
    from mnemos.cli.demo_material import SORTS

    stage.say()
    stage.say(f"{number}. {question.text}", bold=True)
    if question.sort:
        stage.say(f"{question.sort}: {SORTS[question.sort]}", indent=3)
        stage.say(f"right answer: {question.answer}", indent=3)
    for rank, hit in enumerate(hits, start=1):
        evidence = hit.cube.header.external_id in question.evidence
        moment = output.when(hit.cube.header.happened_at or hit.cube.recorded_at, UTC)
        mark = "●" if evidence else " "
        stage.lines([f"{rank} {mark} {moment}  {documents.speaker(hit.cube)}"], indent=3)
        text = output.wrap(documents.words(hit.cube), stage.width - 7, 8 if evidence else 2)
        stage.lines(text, indent=7)
        if number == 1:
            stage.lines(list(documents.reason_lines(hit, stage.width - 7)), indent=7, dim=True)
        else:
            stage.lines(_because(hit, stage.width - 7), indent=7, dim=True)
    if question.sort == "unanswerable":
        stage.say(
            "Search returns what lies nearest; that none of it is the answer is for the model "
            "that reads it to say.",
            indent=3,
        )
    stage.say(f"found in {ms:.0f} ms", indent=3)


def _because(hit: Hit, width: int) -> list[str]:
    matched = documents.matched_words(hit)
    lines: list[str] = []
    for part in documents.reason_line(hit).split("  "):
        if lines and output.cells(lines[-1]) + 2 + output.cells(part) <= width:
            lines[-1] += f"  {part}"
        else:
            lines.append(part)
    return [*lines, *output.wrap(f"matched: {matched}", width, 1)] if matched else lines


def _legend(stage: Stage, hits: Hits) -> None:
    from mnemos.retrieval.rank import DESCRIPTIONS

    stage.say()
    stage.say("The bars are shares of the score, # is the rank in that signal's own list:", 3)
    names = {reason.signal for hit in hits for reason in hit.why}
    stage.lines(
        [f"{name:<14} {text}" for name, text in DESCRIPTIONS.items() if name in names], indent=5
    )


def _pack(stage: Stage, memory: Memory, material: Material) -> None:
    packed = memory.context(material.topic, user_id=material.user, budget=250)
    stage.facts["context"] = documents.context_document(material.topic, packed)
    stage.scene("A context for your model's prompt")
    stage.say(f"“{material.topic}”, at most {packed.budget} tokens:")
    stage.say()
    for line in packed.text.split("\n"):
        stage.lines(["│ " + piece for piece in output.wrap(line, stage.width - 2)])
    stage.say()
    stage.say(
        f"{packed.tokens} tokens, in order of time; the labels [1] to [{len(packed.citations)}] "
        "cite the memories they come from."
    )


def _distrust(stage: Stage, memory: Memory, material: Material) -> None:
    """Show a tool's answer that hides an instruction, and what becomes of it."""
    from mnemos.cli.demo_material import ANSWER, ASKED, FEED, INJECTED

    def add(words: str, kind: str | None, sources: Sequence[str] = ()) -> str:
        said = {"role": "tool", "content": words}
        receipt = memory.add(
            said, kind=kind, source=FEED, derived_from=sources, user_id=material.user
        )
        return receipt.id

    heard = add(ANSWER, None)
    held = add(INJECTED, "instruction", (heard,))
    packed = memory.context(ASKED, user_id=material.user, budget=120)
    waiting = [cube for cube in memory.quarantined(user_id=material.user) if cube.id == held]
    rejected = memory.reject(held, user_id=material.user)
    erased = memory.forget(source=FEED, user_id=material.user)
    quoted = [line for line in packed.text.split("\n") if "<quoted" in line and ANSWER[:10] in line]
    steers = held in {item.id for item in packed.citations}
    stage.facts["distrusted"] = {
        "context": documents.context_document(ASKED, packed),
        "standing": steers,
        "quarantined": [documents.cube_document(cube) for cube in waiting],
        "rejected": list(rejected.forgotten),
        "forgotten": list(erased.forgotten),
    }
    stage.scene("Words that are not trusted")
    stage.say("A tool answers, with an order hidden in it; an agent keeps the order as a rule.")
    for line in quoted:
        stage.lines(["│ " + piece for piece in output.wrap(line, stage.width - 2, 4)])
    stage.say(
        f"context: quoted as data, {'tainted' if packed.tainted else 'NOT TAINTED'}, trust "
        f"{packed.max_trust:g}; the rule is {'STILL' if steers else 'not'} among the standing memories"
    )
    for cube in waiting:
        stage.lines(output.wrap(f"quarantined: {documents.words(cube)}", stage.width, 1))
    stage.say(
        "`mnemos quarantine approve` would let it in; here it was rejected: "
        f"{output.plural(len(rejected.forgotten), 'memory', 'memories')} erased"
    )


def _forget(stage: Stage, memory: Memory, material: Material, vault: Path) -> None:
    from mnemos.cli.demo_material import find_bytes, said

    words = said(material.drafts[material.forgotten])
    before = find_bytes(vault, material.secret)
    hits = memory.search(words, user_id=material.user, top_k=SHOWN)
    rank = next((place for place, hit in enumerate(hits, start=1) if hit.text == words), 0)
    if not rank:
        raise InvalidInput(f"{vault} does not hold what {material.name} says; leave out --keep")
    target = hits[rank - 1]
    receipt = memory.forget(target.id, user_id=material.user)
    after = find_bytes(vault, material.secret)
    left = memory.search(words, user_id=material.user, top_k=SHOWN)
    gone = all(hit.id != target.id for hit in left)
    stage.facts["forgotten"] = {
        "id": target.id,
        "secret": material.secret,
        "bytes_before": before,
        "bytes_after": after,
        "in_search": not gone,
        "receipt": documents.receipt_document(receipt),
    }
    stage.scene("Forgetting")
    stage.lines(output.wrap(f"“{words}”", stage.width - 2, 4), indent=2)
    where = ", ".join(f"{n} × in {name}" for name, n in before.items()) or "nowhere"
    stage.say(f"before: number {rank} in search; the bytes “{material.secret}” {where}")
    there = ", ".join(f"{n} × in {name}" for name, n in after.items()) or "nowhere in its files"
    stage.say(f"after:  {'gone from search' if gone else 'STILL FOUND'}; the bytes {there}")
    places = ", ".join(f"{place.name} {place.status}" for place in receipt.places)
    stage.say(f"receipt: {places}")


def _verify(stage: Stage, memory: Memory) -> bool:
    with output.progress("checking", memory.stats().events) as advance:
        report = memory.verify(progress=advance)
    stage.facts["verify"] = {
        "ok": report.ok,
        "events": report.events,
        "contents": report.contents,
        "erased": report.erased,
        "rows": report.rows,
        "problems": report.problems,
    }
    stage.scene("Verifying")
    stage.say(
        f"{'sound' if report.ok else 'NOT SOUND'}: {output.plural(report.events, 'event')} "
        f"chained, {output.plural(report.contents, 'content')} proved, {report.erased} erased, "
        f"{output.plural(report.rows, 'row')} compared with the journal"
    )
    stage.lines([output.clean(problem) for problem in report.problems], indent=2)
    return report.ok


def _point_on(stage: Stage, material: Material, db: str, *, own: bool) -> None:
    where = f"--db {db} --user {material.user}"
    question = material.questions[0].text if own else "Who is Admiral Yi?"
    topic = question if own else "the lease of the flat"
    commands = [
        f'mnemos search "{question}" {where} --why',
        f'mnemos context "{topic}" {where}',
        "mnemos ingest your-chat.jsonl --user you" if not own else f"mnemos list {where}",
    ]
    stage.facts["next"] = commands
    stage.scene("Try next")
    if own:
        stage.say("Ask anything else of your file in the same way, in your own words:")
    stage.lines(commands, indent=2)
