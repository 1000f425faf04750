"""The calls a state machine can draw: each on the memory, and on the plain model of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import plain_model as model

from mnemos import Memory
from mnemos.kernel.changes import Transition
from mnemos.testing import SeededIds, SimClock
from mnemos.types import Draft, Header, Kind, MemCube, Receipt, Scope, State, Text

SUBJECTS = ("ana", "ben")
BRANCHES = ("red", "green", "blue", "white", "black")
SNAPSHOTS = ("monday", "tuesday", "friday")
EXTERNALS = ("m1", "m2", "m3")
RUNS = ("s1", "s2")


class Foreseen:
    """Ids that can be looked at before they are given out."""

    def __init__(self, seed: str) -> None:
        self._source, self._ahead = SeededIds(seed), deque[str]()

    def fresh(self) -> str:
        return self._ahead.popleft() if self._ahead else self._source.fresh()

    def peek(self, place: int) -> str:
        while len(self._ahead) <= place:
            self._ahead.append(self._source.fresh())
        return self._ahead[place]


class _Shifted:
    """The ids behind those that earlier calls of a transaction will take."""

    def __init__(self, ids: Foreseen, by: int) -> None:
        self._ids, self._by = ids, by

    def peek(self, place: int) -> str:
        return self._ids.peek(self._by + place)


class World:
    """The model of a vault: a page per subject, and the journal position of every moment."""

    def __init__(self) -> None:
        self.pages = {subject: model.Page() for subject in SUBJECTS}
        self.positions = [0]
        self.walls = [datetime(1, 1, 1, tzinfo=UTC)]

    def begin(self, now: datetime) -> World:
        """Return a copy in which the next call can be made."""
        twin = World()
        twin.pages = {subject: page.clone() for subject, page in self.pages.items()}
        twin.positions, twin.walls = list(self.positions), list(self.walls)
        for page in twin.pages.values():
            page.tick, page.now = len(self.positions), now
        return twin


@dataclass(frozen=True, kw_only=True)
class Op:
    """A call, on the memory and on the model."""

    subject: str
    line: str | None
    call: Callable[[Any], Any]
    effect: Callable[[Any], Any]
    draws: int = 0
    """Ids it takes."""
    check: Callable[[Any, Any], None] | None = None
    """Compares what came back with what the model says, where a receipt is not all."""
    after: World | None = None
    """The model afterwards, where it is known already."""


def word(number: int) -> str:
    """Return a word of its own for every number, without an ending to strip."""
    letters = "bcdfgkmp"
    return "zq" + "".join(letters[int(digit)] for digit in f"{number:o}") + "x"


def read(cube: MemCube) -> tuple[Any, ...]:
    """Return of a memory what the model says of it, in the model's order."""
    header = cube.header
    said = model.Said(
        text=cube.text,
        kind=header.kind.value,
        role=header.role,
        run=header.run_id,
        external=header.external_id,
        expires=header.expires_at,
        since=header.valid_from,
        until=header.valid_to,
        frozen=header.frozen,
        hold=header.hold,
        sources=header.derived_from,
        links=tuple(link.target for link in header.links),
    )
    plain = (getattr(said, name) for name in model.Said.__dataclass_fields__)
    return cube.id, cube.version, cube.state.value, *plain


def draft(said: Any, state: str) -> Draft:
    """Return what ``add_many`` takes for a content."""
    header = Header(
        kind=Kind(said.kind),
        role=said.role,
        run_id=said.run,
        external_id=said.external,
        expires_at=said.expires,
        valid_from=said.since,
        valid_to=said.until,
        derived_from=said.sources,
    )
    return Draft(payload=Text(text=said.text), header=header, state=State(state))


class Calls:
    """Chooses what to call, and says what the model expects of it.

    Who mixes this in has the ``world``, the ``memory`` and its ``ids``, makes the calls and compares.
    """

    memory: Memory
    clock: SimClock
    world: World
    ids: Foreseen
    words = 0
    receipts: list[tuple[str, str | None, Receipt, int]]

    # ------------------------------------------------------------------- choosing

    def place(self, random: Random) -> tuple[str, str | None]:
        """Choose a subject and a line."""
        subject = random.choices(SUBJECTS, (6, 1))[0]
        branches = sorted(self.world.pages[subject].branches)
        return subject, random.choice([None, None, *branches])

    def page(self, subject: str):
        page = self.world.pages[subject]
        page.now = self.clock.now()
        page.tick = max(page.tick, len(self.world.positions) - 1)
        return page

    def some(self, random: Random, subject: str, line: str | None) -> str:
        """Choose a memory: mostly a visible one, sometimes a hidden, sometimes a forgotten one."""
        page = self.page(subject)
        fate = random.random()
        if fate < 0.85 and (seen := page.visible(line)):
            return random.choice(seen[-12:])
        if fate < 0.97 and page.order:
            return random.choice(list(page.order))
        return random.choice(sorted(page.gone)) if page.gone else "0" * 32

    def text(self) -> str:
        self.words += 1
        return f"{word(self.words)} harbour lantern {self.words % 7}"

    def moment(self, random: Random) -> int:
        """Choose a moment of the past, late ones more often."""
        last = len(self.world.positions) - 1
        return (
            max(last - min(random.randrange(1, 12), last), 0)
            if random.random() < 0.7
            else (random.randrange(last + 1))
        )

    def days(self, random: Random, low: int, high: int) -> datetime:
        return self.clock.now() + timedelta(days=random.randint(low, high))

    def as_of(self, random: Random, subject: str) -> tuple[Any, int]:
        """Choose a moment of the past, said in one of the ways there are, and its number."""
        tick, names = self.moment(random), self.world.pages[subject].snapshots
        way = random.randrange(4)
        if way == 0 and names:
            name = random.choice(sorted(names))
            return name, names[name][0]
        if way == 1:
            wall = self.world.walls[tick] if tick else self.world.walls[-1]
            last = max(n for n, at in enumerate(self.world.walls) if at <= wall)
            return wall, last
        if way == 2:
            receipts = [item for item in self.receipts if item[0] == subject]
            if receipts:
                _, _, receipt, made = random.choice(receipts[-10:])
                return receipt, made
        return f"#{self.world.positions[tick]}", tick

    # ------------------------------------------------------------------ the calls

    def make_add(self, random: Random) -> Op:
        subject, line = self.place(random)
        external = random.choice(EXTERNALS) if random.random() < 0.4 else None
        said = model.Said(
            text=self.text(),
            run=random.choice([None, *RUNS]),
            external=external,
            expires=self.days(random, 1, 4) if random.random() < 0.25 else None,
        )
        page = self.page(subject)
        held = page.holder(line, external)
        if held is not None and random.random() < 0.8:  # what is there already
            live = page.at(line, held).said
            said = replace(said, text=live.text, run=live.run, expires=live.expires)
        replaces, new = random.random() < 0.5, self.ids.peek(0)
        options = {"on_conflict": "update"} if replaces else {}
        return Op(
            subject=subject,
            line=line,
            draws=1,
            call=lambda memory: memory.add(
                said.text,
                user_id=subject,
                run_id=said.run,
                external_id=said.external,
                expires_at=said.expires,
                **options,
            ),
            effect=lambda page: page.add(line, [(new, said, "activated")], replaces=replaces),
        )

    def make_many(self, random: Random) -> Op:
        subject, line = self.place(random)
        page = self.page(subject)
        items = []
        for place in range(random.randint(1, 6)):
            said = model.Said(
                text=self.text(),
                role=None,
                external=random.choice(EXTERNALS) if random.random() < 0.1 else None,
                expires=self.days(random, 1, 6) if random.random() < 0.2 else None,
                since=self.days(random, -4, 1) if random.random() < 0.3 else None,
                until=self.days(random, 2, 6) if random.random() < 0.2 else None,
            )
            if random.random() < 0.15 and page.order:
                chosen = random.sample(list(page.order), min(len(page.order), 2))
                said = replace(said, external=None, kind="fact", sources=tuple(chosen))
            state = "generated" if random.random() < 0.1 else "activated"
            items.append((self.ids.peek(place), said, state))
        if page.suppressed and random.random() < 0.5:  # derive again what was forgotten
            source, kind, text = random.choice(sorted(page.suppressed))
            if kind in ("fact", "summary"):
                said = model.Said(text=text, role=None, kind=kind, sources=(source,))
                items.append((self.ids.peek(len(items)), said, "activated"))
        drafts = [draft(said, state) for _, said, state in items]
        replaces = random.random() < 0.7
        options = {"on_conflict": "update"} if replaces else {}
        return Op(
            subject=subject,
            line=line,
            draws=len(items),
            call=lambda memory: memory.add_many(drafts, user_id=subject, **options),
            effect=lambda page: page.add(line, items, replaces=replaces),
        )

    def make_update(self, random: Random) -> Op:
        subject, line = self.place(random)
        id, text, expected = self.some(random, subject, line), self.text(), None
        if random.random() < 0.4 and id in (page := self.page(subject)).order:
            number = max(len(page.versions(line, id)), 1)
            expected = number if random.random() < 0.6 else number + random.choice([-1, 1])
            expected = max(expected, 1)
        return Op(
            subject=subject,
            line=line,
            call=lambda memory: memory.update(id, text, user_id=subject, expected_version=expected),
            effect=lambda page: page.update(line, id, text, expected),
        )

    def make_revert(self, random: Random) -> Op:
        subject, line = self.place(random)
        page = self.page(subject)
        changed = [id for id in page.order if len(page.versions(line, id)) > 1]
        id = self.some(random, subject, line)
        if changed and random.random() < 0.7:
            id = random.choice(changed)
        count = len(page.versions(line, id)) if id in page.order else 1
        number = random.randint(1, count + (random.random() < 0.1) or 1)
        return Op(
            subject=subject,
            line=line,
            call=lambda memory: memory.revert(id, number, user_id=subject),
            effect=lambda page: page.revert(line, id, number),
        )

    def make_supersede(self, random: Random) -> Op:
        subject, line = self.place(random)
        id, text, new = self.some(random, subject, line), self.text(), self.ids.peek(0)
        return Op(
            subject=subject,
            line=line,
            draws=1,
            call=lambda memory: memory.supersede(id, text, user_id=subject),
            effect=lambda page: page.supersede(line, id, new, text),
        )

    def make_contradict(self, random: Random) -> Op:
        subject, line = self.place(random)
        id, text, new = self.some(random, subject, line), self.text(), self.ids.peek(0)
        at = self.days(random, -3, 2) if random.random() < 0.6 else None
        since = at or self.clock.now()
        return Op(
            subject=subject,
            line=line,
            draws=1,
            call=lambda memory: memory.contradict(id, text, at=at, user_id=subject),
            effect=lambda page: page.contradict(line, id, new, text, since),
        )

    def make_consolidate(self, random: Random) -> Op:
        subject, line = self.place(random)
        seen, new, text = self.page(subject).visible(line), self.ids.peek(0), self.text()
        ids = random.sample(seen, min(len(seen), random.randint(2, 3)))
        if len(ids) < 2 or random.random() < 0.1:
            ids = list(dict.fromkeys([*ids[:1], self.some(random, subject, line), "f" * 32]))
        before = [item for item in sorted(self.page(subject).suppressed) if item[1] == "summary"]
        if before and random.random() < 0.3:  # make again what was forgotten
            source, _, text = random.choice(before)
            ids = list(dict.fromkeys([source, *ids]))[:3]
        if len(ids) < 2:
            return self.make_add(random)
        return Op(
            subject=subject,
            line=line,
            draws=1,
            call=lambda memory: memory.consolidate(ids, text, user_id=subject),
            effect=lambda page: page.consolidate(line, ids, new, text),
        )

    def make_move(self, random: Random) -> Op:
        subject, line = self.place(random)
        id = self.some(random, subject, line)
        state = random.choice(["archived", "archived", "activated", "expired", "merged"])
        page = self.page(subject)
        hidden = [i for i in page.order if (v := page.at(line, i)) and v.state == "archived"]
        if hidden and random.random() < 0.4:
            id, state = random.choice(hidden), "activated"
        public = {"archived": "archive", "activated": "restore"}.get(state)
        if public is not None:
            return Op(
                subject=subject,
                line=line,
                call=lambda memory: getattr(memory, public)(id, user_id=subject),
                effect=lambda page: page.move(line, id, state, lived=True),
            )
        scope = Scope(tenant="default", subject=f"user:{subject}")
        change = Transition(id=id, state=State(state))  # steps without a call of their own
        return Op(
            subject=subject,
            line=line,
            call=lambda memory: memory._write("move", scope, [change]),
            effect=lambda page: page.move(line, id, state),
        )

    def make_flag(self, random: Random) -> Op:
        subject, line = self.place(random)
        id, name = self.some(random, subject, line), random.choice(["freeze", "hold"])
        page = self.page(subject)
        lives = {i: v for i in page.order if (v := page.at(line, i))}
        frozen = [i for i, version in lives.items() if version.said.frozen]
        held = [i for i, version in lives.items() if version.said.hold]
        if (frozen or held) and random.random() < 0.75:
            name = random.choice(["thaw"] * bool(frozen) + ["release"] * bool(held))
            id = random.choice(frozen if name == "thaw" else held)
        flag = "frozen" if name in ("freeze", "thaw") else "hold"
        value = name in ("freeze", "hold")
        return Op(
            subject=subject,
            line=line,
            call=lambda memory: getattr(memory, name)(id, user_id=subject),
            effect=lambda page: page.amend(line, id, flag, value),
        )

    def make_forget(self, random: Random) -> Op:
        subject, line = self.place(random)
        id = self.some(random, subject, line)
        page = self.page(subject)
        made = [i for i in page.order if page.made_from([i])]
        held = [i for i in page.order if any(item.said.hold for item in page.contents(i))]
        if held and random.random() < 0.4:
            id = random.choice(held)
        elif made and random.random() < 0.5:
            id = random.choice(made)
        return Op(
            subject=subject,
            line=line,
            call=lambda memory: memory.forget(id, user_id=subject),
            effect=lambda page: page.forget(line, [id]),
        )

    def make_forget_sources(self, random: Random) -> Op:
        op = self.make_forget(random)
        page = self.page(op.subject)
        made = [i for i in page.order if page.made_from([i])]
        id = random.choice(made) if made else self.some(random, op.subject, op.line)
        return replace(
            op,
            call=lambda memory: memory.forget(id, user_id=op.subject, sources=True),
            effect=lambda page: page.forget(op.line, [id], sources=True),
        )

    def make_delete_all(self, random: Random) -> Op:
        subject = random.choices(SUBJECTS, (1, 3))[0]
        run = random.choice(RUNS) if random.random() < 0.7 or subject == "ana" else None

        def effect(page):
            ids = [
                id
                for id in page.order
                if run is None or any(item.said.run == run for item in page.contents(id))
            ]
            return page.forget(None, ids)

        return Op(
            subject=subject,
            line=None,
            call=lambda memory: memory.delete_all(user_id=subject, run_id=run),
            effect=effect,
        )

    def make_rollback(self, random: Random) -> Op:
        subject, line = self.place(random)
        to, tick = self.as_of(random, subject)
        return Op(
            subject=subject,
            line=line,
            draws=1,
            call=lambda memory: memory.rollback(to, user_id=subject),
            effect=lambda page: page.rollback(line, tick),
        )

    MAKERS = (
        "add", "add", "many", "update", "update", "revert", "supersede", "contradict",
        "consolidate", "move", "flag", "forget", "rollback",
    )  # fmt: skip

    def make_transaction(self, random: Random) -> Op:
        """Stage a few calls; one that is refused, the last, takes the others with it."""
        start, known, taken = self.world, self.ids, 0
        trial, ops, errors = self.world.begin(self.clock.now()), list[Op](), ()
        try:
            for _ in range(random.randint(2, 4)):
                self.world, self.ids = trial, _Shifted(known, taken)
                op = getattr(self, f"make_{random.choice(self.MAKERS)}")(random)
                ops.append(op)
                taken += op.draws
                after = trial.begin(self.clock.now())
                errors = self.foresee(op, after)[1]
                if errors:
                    break
                trial = after
        finally:
            self.world, self.ids = start, known

        def call(memory):
            with memory.begin() as tx:
                for op in ops:
                    op.call(self.bind(tx, op))
                if not errors:
                    for subject in SUBJECTS:
                        self.compare_list(tx.get_all(user_id=subject), trial, subject, None)

        def effect(page):
            if errors:
                raise model.Refused(*errors)
            return model.Result()

        return Op(subject=ops[0].subject, line=None, call=call, effect=effect, after=trial)

    # ------------------------------------------------------------ calls on moments

    def make_snapshot(self, random: Random) -> Op:
        subject, line = self.place(random)
        name, at, tick = random.choice(SNAPSHOTS), None, len(self.world.positions) - 1
        if random.random() < 0.4:
            at, tick = self.as_of(random, subject)
        return Op(
            subject=subject,
            line=line,
            call=lambda memory: memory.snapshot(name, at=at, user_id=subject),
            effect=lambda page: page.snapshot(line, name, tick),
        )

    def make_drop_snapshot(self, random: Random) -> Op:
        subject, line = self.place(random)
        there = sorted(self.page(subject).snapshots)
        name = random.choice(there if there and random.random() < 0.8 else SNAPSHOTS)
        return Op(
            subject=subject,
            line=line,
            call=lambda memory: memory.drop_snapshot(name, user_id=subject),
            effect=lambda page: page.drop_snapshot(name),
        )

    def make_branch(self, random: Random) -> Op:
        subject, line = self.place(random)
        name, at, tick = random.choice(BRANCHES), None, len(self.world.positions) - 1
        if random.random() < 0.4:
            at, tick = self.as_of(random, subject)
        return Op(
            subject=subject,
            line=line,
            call=lambda memory: memory.branch(name, at=at, user_id=subject),
            effect=lambda page: page.branch(line, name, tick),
            check=lambda view, _: self.compare_list(
                view.get_all(), self.world, subject, name, current=True
            ),
        )

    def make_merge(self, random: Random) -> Op:
        branched = [item for item in SUBJECTS if self.world.pages[item].branches]
        if not branched:
            return self.make_branch(random)
        subject = random.choice(branched)
        page = self.page(subject)
        name = random.choice(sorted(page.branches))
        line, resolve = page.branches[name].parent, dict[str, str]()
        if random.random() < 0.05:
            line = random.choice([None, name])
        clashes = self.clashes(subject, line, name)
        if random.random() < 0.7:
            resolve = {id: random.choice(["branch", "parent"]) for id in sorted(clashes)}

        def check(merged, wanted):
            assert merged.applied == (not wanted.clashes)
            assert {clash.id for clash in merged.clashes} == set(wanted.clashes)
            for clash in merged.clashes:
                sides, versions = (clash.base, clash.branch, clash.parent), wanted.clashes[clash.id]
                over = any(version is not None and page.expired(version) for version in versions)
                for cube, version in zip(sides, versions, strict=True):
                    if cube is None:  # what has expired is shown to nobody
                        assert version is None or over
                    else:
                        assert version is not None
                        assert cube.text == version.said.text
            if merged.applied:
                assert sorted(merged.receipt.ids) == sorted(wanted.ids)
            else:
                assert self.world.positions[-1] == self.world.positions[-2]

        return Op(
            subject=subject,
            line=line,
            draws=1,
            call=lambda memory: memory.merge(name, resolve=resolve, user_id=subject),
            effect=lambda page: page.merge(line, name, resolve),
            check=check,
        )

    def clashes(self, subject: str, line: str | None, name: str) -> set[str]:
        trial = self.world.begin(self.clock.now())
        try:
            return set(trial.pages[subject].merge(line, name, {}).clashes)
        except model.Refused:
            return set()

    def make_undo(self, random: Random) -> Op:
        """Take back a call and all after it."""
        known = [
            item
            for item in self.receipts
            if item[1] is None or item[1] in self.world.pages[item[0]].branches
        ]
        if not known:
            return self.make_add(random)
        subject, line, receipt, made = random.choice(known[-8:])
        return Op(
            subject=subject,
            line=line,
            draws=1,
            call=lambda memory: memory.rollback(before=receipt, user_id=subject),
            effect=lambda page: page.rollback(line, made - 1),
            check=lambda _, __: self.compare_list(
                self.view(subject, line).get_all(),
                self.world,
                subject,
                line,
                made - 1,
                forgotten=True,
            ),
        )

    # ------------------------------------------------------------------- the rules
