"""Examining a journal's chain: which event was altered, moved, copied or taken out.

An event's hash covers its columns and the hash before it, so a break has a place. Which side of it
was touched follows from what still fits: the event after an altered one still names the hash it
had, one that was moved still fits where it came from. An altered column is often found again by
trying what else it can have been, for only the true value gives the hash.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mnemos.kernel import schema
from mnemos.kernel.branches import RECORDS
from mnemos.kernel.canonical import commitment, event_hash, moment
from mnemos.kernel.journal import GENESIS
from mnemos.kernel.ports import ReadTx
from mnemos.kernel.schema import Event, Head
from mnemos.types import State

WINDOW = 64
"""Events looked at on either side of a break."""
MOST_COPIES = 32
"""Searches of the whole journal for the original of a copy."""
MOST_NAMES = 10_000
"""Memories tried where an event's memory was altered."""

MOST_TRIES = 500_000
"""Values tried in all, so that a journal altered from end to end is not a day's work."""

VERBS = ("add", "update", "state", "adopt", "withdraw", "forget", *sorted(RECORDS))


@dataclass(slots=True)
class Chain:
    """What an examination found.

    Parameters
    ----------
    problems : list of str
        What was changed and where.
    forgotten : set of str
        Memories and records the journal says were forgotten.
    fixes : dict of int to Event or None
        For a position: the event as it was written, or None where what stands there is no event
        of this chain.
    missing, altered : set of int
        Events that are gone, and events of which it is not known what they said.
    """

    problems: list[str] = field(default_factory=list[str])
    forgotten: set[str] = field(default_factory=set[str])
    fixes: dict[int, Event | None] = field(default_factory=dict[int, Event | None])
    missing: set[int] = field(default_factory=set[int])
    altered: set[int] = field(default_factory=set[int])
    moved: dict[int, int] = field(default_factory=dict[int, int])

    @property
    def broken(self) -> bool:
        """Whether the journal can no longer be replayed as it was written."""
        return bool(self.missing or self.altered)

    def events(self, tx: ReadTx, tenant: str) -> Iterable[Event]:
        """Return the events as and in the order they were written, so far as that can be told."""
        rows = (self.fixes.get(row.seq, row) for row in tx.scan(schema.EVENTS, (tenant,)))
        kept = (event for event in rows if event is not None)
        return sorted(kept, key=lambda event: event.seq) if self.moved else kept


def examine(tx: ReadTx, tenant: str) -> Chain:
    """Walk a tenant's chain from the first event to the head and say what does not hold."""
    walk = _Walk(tx, tenant)
    walk.run()
    return walk.chain


def describe(event: Event) -> str:
    """Return what an event says, in the words of its columns and never those of a content."""
    try:
        when = moment(event.at).isoformat(timespec="seconds")
    except OverflowError:
        when = f"{event.at} microseconds"
    what = "record" if event.verb in RECORDS else "memory"
    return f"it says {event.verb!r} of {what} {event.cube}, {when}"


def span(first: int, last: int) -> str:
    """Return ``event 3`` or ``events 3–5``."""
    return f"event {first}" if first == last else f"events {first}–{last}"


class _Walk:
    """One pass over a chain; ``hash`` is the one expected before event ``seq``, None if unknown."""

    def __init__(self, tx: ReadTx, tenant: str) -> None:
        self.chain = Chain()
        self._tx = tx
        self._tenant = tenant
        self._head = tx.get(schema.HEADS, (tenant,))
        self._rows = iter(tx.scan(schema.EVENTS, (tenant,)))
        self._ahead: deque[Event] = deque()
        self._hash: bytes | None = GENESIS
        self._seq = 1
        self._position = 0
        self._at = 0
        self._last: Event | None = None
        self._copies = 0
        self._tries = 0
        self._gaps: list[tuple[bytes, int, int]] = []

    def run(self) -> None:
        """Walk to the end."""
        while self._fill(1):
            # Behind a row passed over, go on with the rows that come after the last one taken.
            place = 0
            while self._fill(place + 2) and place + 1 < len(self._ahead):
                if self._ahead[place].seq > self._position:
                    break
                place += 1
            row = self._ahead[place]
            if self._fits(self._hash, self._seq, row):
                del self._ahead[place]
                self._take(row)
            else:
                self._fill(WINDOW)
                self._explain(self._ahead[0])
        self._tell_moves()
        self._check_head()

    # ------------------------------------------------------------------- walking

    def _fill(self, count: int) -> bool:
        while len(self._ahead) < count:
            row = next(self._rows, None)
            if row is None:
                break
            self._ahead.append(row)
        return bool(self._ahead)

    def _fits(self, before: bytes | None, seq: int, row: Event) -> bool:
        if before is None:
            return False
        return event_hash(before, row if row.seq == seq else row._replace(seq=seq)) == row.hash

    def _follows(self, digest: bytes, seq: int, behind: int = 0) -> bool:
        """Return whether what comes behind a row ahead names this hash as its forerunner."""
        later = list(self._ahead)[behind + 1 : behind + 9]
        if any(self._fits(digest, seq + 1, row) for row in later):
            return True
        return self._head is not None and (self._head.seq, self._head.hash) == (seq, digest)

    def _note(self, problem: str) -> None:
        self.chain.problems.append(f"journal of {self._tenant!r}: {problem}")

    def _take(self, row: Event, *, known: bool = True, timed: bool = True) -> None:
        """Go on behind a row, which stands for event ``seq``."""
        position = self._position = row.seq
        if position != self._seq:
            self.chain.moved[self._seq] = position
            row = row._replace(seq=self._seq)
            self.chain.fixes[position] = row
        if timed:
            if row.at < self._at:
                self._note(f"event {row.seq}: its time lies before that of the event before it")
            self._at = row.at
        if row.verb == "forget":
            self.chain.forgotten.add(row.cube)
        self._last, self._hash, self._seq = row, row.hash if known else None, row.seq + 1

    # ---------------------------------------------------------------- explaining

    def _explain(self, row: Event) -> None:
        """Say why a row does not fit, and go on behind it."""
        if self._vouched(row) or self._elsewhere() or self._altered(row):
            return
        if self._gap(row) or self._renumbered(row):
            return
        self._ahead.popleft()
        self._foreign(row)

    def _vouched(self, row: Event) -> bool:
        """Take a row whose forerunner is not known, where the one behind it knows its hash."""
        if self._hash is not None or row.seq != self._seq:
            return False
        if self._follows(row.hash, row.seq):
            self.chain.problems[-1] += f"; event {row.seq} cannot be proved without it"
        elif not self._next_is_known(row) and self._original(row):
            return False
        elif not self._next_is_known(row):
            self._note(
                f"event {row.seq}: it cannot be proved, since neither the event before it nor the "
                f"one behind it holds; {describe(row)}"
            )
        self._ahead.popleft()
        self._take(row)
        return True

    def _next_is_known(self, row: Event) -> bool:
        """Return whether the row behind one was altered in a way that proves this one's hash."""
        after = next(iter(list(self._ahead)[1:2]), None)
        if after is None or after.seq != row.seq + 1:
            return False
        right = event_hash(row.hash, after)
        return self._follows(right, after.seq, 1) or self._restored(row.hash, after) is not None

    def _elsewhere(self) -> bool:
        """Take the event that belongs here from where it stands now."""
        for place, row in enumerate(self._ahead):
            if self._fits(self._hash, self._seq, row):
                del self._ahead[place]
                self._take(row)
                return True
        return False

    def _altered(self, row: Event) -> bool:
        """Take a row of which either the hash or a column was changed, but not both."""
        if self._hash is None or row.seq != self._seq:
            return False
        right = event_hash(self._hash, row)
        if self._follows(right, row.seq):
            self._note(f"event {row.seq}: its hash was changed, and nothing else of it")
            fixed, known = row._replace(hash=right), True
        else:
            found = self._restored(self._hash, row)
            if found is None and not self._follows(row.hash, row.seq):
                return False
            fixed, known = found or row, found is not None
            self._note(self._said(row, fixed))
        if not known:
            self.chain.altered.add(row.seq)
        self.chain.fixes[row.seq] = fixed
        self._ahead.popleft()
        self._take(fixed, timed=known)
        return True

    def _said(self, row: Event, fixed: Event) -> str:
        changed = [name for name in row._fields if getattr(row, name) != getattr(fixed, name)]
        if not changed:
            return f"event {row.seq}: its columns do not give its hash; {describe(row)}"
        (name,) = changed
        old, new = getattr(fixed, name), getattr(row, name)
        if isinstance(old, bytes):
            return f"event {row.seq}: its {name} was changed; {describe(fixed)}"
        return f"event {row.seq}: its {name} was changed from {old!r} to {new!r}"

    def _gap(self, row: Event) -> bool:
        """Report events that are not there; the row after them cannot be proved by itself."""
        if row.seq <= self._seq:
            return False
        if not self._follows(row.hash, row.seq) and self._distance(row):
            return False
        if self._moved_here(row):
            return True
        self._lack(row.seq - 1, "")
        return True

    def _lack(self, last: int, more: str) -> None:
        first = self._seq
        self._note(f"{span(first, last)} {'is' if first == last else 'are'} missing{more}")
        self.chain.missing.update(range(first, min(last, first + MOST_NAMES) + 1))
        if self._hash is not None and len(self._gaps) < WINDOW:
            self._gaps.append((self._hash, first, len(self.chain.problems) - 1))
        self._seq, self._hash = last + 1, None

    def _moved_here(self, row: Event) -> bool:
        """Take a row that fits a gap further up: it was moved here from there."""
        for before, seq, place in self._gaps:
            if self._fits(before, seq, row):
                text = f"event {seq} was moved to position {row.seq}"
                self.chain.problems[place] = f"journal of {self._tenant!r}: {text}"
                self.chain.fixes[row.seq] = row._replace(seq=seq)
                self.chain.moved.setdefault(0, 0)  # the events must be sorted again
                self.chain.missing.discard(seq)
                if row.verb == "forget":
                    self.chain.forgotten.add(row.cube)
                self._ahead.popleft()
                return True
        return False

    def _distance(self, row: Event) -> int:
        """Return by how much a row and the next are numbered too low, 0 if they are not."""
        for after in list(self._ahead)[1:2]:
            for by in range(-WINDOW, WINDOW + 1):
                if by and self._fits(row.hash, after.seq + by, after):
                    return by + after.seq - row.seq - 1
        head = self._head
        if head is not None and len(self._ahead) == 1 and head.hash == row.hash:
            return head.seq - row.seq
        return 0

    def _renumbered(self, row: Event) -> bool:
        """Report events taken out where those behind were given their numbers."""
        true = row.seq + self._distance(row)
        if true <= self._seq:
            return False
        self._lack(true - 1, ", and those behind were given other numbers")
        self._ahead.popleft()
        self._take(row)
        return True

    def _foreign(self, row: Event) -> None:
        """Report a row that is no event of this chain, or of which nothing holds."""
        if self._moved_out(row):
            return
        original = self._original(row)
        what = f"a copy of event {original}" if original else "not the event that was written"
        if row.seq == self._seq and (self._ahead or self._named(row)):
            self._note(f"event {row.seq}: {what} stands there; {describe(row)}")
            self.chain.missing.add(row.seq)
            self._seq, self._hash = row.seq + 1, None
        else:
            what = what if original else "an event that is not of this chain"
            self._note(f"position {row.seq}: {what} was put there; {describe(row)}")
        self.chain.fixes[row.seq] = None

    def _named(self, row: Event) -> bool:
        """Return whether the head counts a row."""
        return self._head is not None and self._head.seq >= row.seq

    def _moved_out(self, row: Event) -> bool:
        self._ahead.appendleft(row)
        found = self._moved_here(row)
        if not found:
            self._ahead.popleft()
        return found

    def _original(self, row: Event) -> int:
        """Return the event a row was copied from, 0 if there is none."""
        self._copies += 1
        if self._copies > MOST_COPIES:
            return 0
        for event in self._tx.scan(schema.EVENTS, (self._tenant,)):
            if event.hash == row.hash and event.seq != row.seq:
                return self._logical(event.seq)
        return 0

    def _logical(self, position: int) -> int:
        fixed = self.chain.fixes.get(position)
        return fixed.seq if fixed is not None else position

    # ----------------------------------------------------------------- restoring

    def _restored(self, before: bytes, row: Event) -> Event | None:
        """Return the row with the one column put right that gives its hash, if it can be found."""
        for name, value in self._candidates(row):
            self._tries += 1
            if self._tries > MOST_TRIES:
                return None
            event = row._replace(**{name: value})
            if event_hash(before, event) == row.hash:
                return event
        return None

    def _candidates(self, row: Event) -> Iterator[tuple[str, object]]:
        tx, tenant = self._tx, self._tenant
        yield from (("verb", verb) for verb in VERBS)
        yield from (("state", state) for state in ("", *(item.value for item in State)))
        content = tx.get(schema.CONTENTS, (tenant, row.seq))
        yield "commitment", b""
        if content is not None:
            yield "commitment", commitment(content.salt, content.body)
        near = [item for item in (self._last, *list(self._ahead)[1:3]) if item is not None]
        yield from (("at", item.at) for item in near)
        yield from (("batch", item.batch) for item in near)
        yield "batch", row.seq
        yield from (("actor", item.actor) for item in tx.scan(schema.ACTORS, (tenant,)))
        counter = tx.get(schema.META, (f"subjects:{tenant}",))
        most = int(counter.value) if counter and counter.value.isdecimal() else 0
        yield from (("subject", number) for number in range(min(most, MOST_NAMES) + 1))
        yield "branch", schema.MAIN
        branches = tx.scan(schema.RECORDS, (tenant,))
        yield from (("branch", item.seq) for item in branches if item.verb == "branch")
        yield from (("content", number) for number in (0, row.seq))
        yield from self._named_candidates(row)

    def _named_candidates(self, row: Event) -> Iterator[tuple[str, object]]:
        tx, tenant = self._tx, self._tenant
        found = tx.get(schema.IDS, (tenant, row.cube))
        if found is not None:
            rows = tx.scan(schema.VERSIONS, (tenant, found.cube))
            yield from (("content", item.content) for item in rows)
        ids = tx.scan(schema.IDS, (tenant,), limit=MOST_NAMES)
        yield from (("cube", item.id) for item in ids)
        records = tx.scan(schema.RECORDS, (tenant,), limit=MOST_NAMES)
        yield from (("cube", item.id) for item in records)
        erased = tx.scan(schema.FORGOTTEN, (tenant,), limit=MOST_NAMES)
        yield from (("cube", item.id) for item in erased)

    # ------------------------------------------------------------------- the end

    def _tell_moves(self) -> None:
        """Report the events that stand elsewhere, those moved together in one line."""
        left = {seq: place for seq, place in self.chain.moved.items() if seq}
        for seq, place in list(left.items()):
            if seq in left and left.get(place) == seq:
                self._note(f"events {min(seq, place)} and {max(seq, place)} were swapped")
                del left[seq], left[place]
        run: list[int] = []
        for seq, place in [*sorted(left.items()), (0, 0)]:
            if run and (seq != run[-1] + 1 or place - seq != left[run[0]] - run[0]):
                places = f"{left[run[0]]}" if len(run) == 1 else f"{left[run[0]]}–{left[run[-1]]}"
                verb = "stands" if len(run) == 1 else "stand"
                self._note(f"{span(run[0], run[-1])} {verb} at position {places}")
                run = []
            run.append(seq)

    def _check_head(self) -> None:
        head, last = self._head, self._seq - 1
        if head is None:
            self._note(f"its head is missing; the last event is {last}")
            return
        digest = self._hash if self._hash is not None or self._last is None else self._last.hash
        at = self._last.at if self._last is not None else 0
        if head.seq == last:
            self._check_columns(head, digest or GENESIS, at)
        elif head.hash == digest:
            self._note(f"its head was changed: it says {head.seq}, the last event is {last}")
        elif head.seq > last:
            cut = span(last + 1, head.seq)
            self._note(f"{cut} {'is' if head.seq == last + 1 else 'are'} missing from its end")
            self.chain.missing.update(range(last + 1, min(head.seq, last + MOST_NAMES) + 1))
        else:
            more = span(head.seq + 1, last)
            self._note(f"its head names event {head.seq}; {more} came after it")

    def _check_columns(self, head: Head, digest: bytes, at: int) -> None:
        """Compare the head with the last event, unless that is one nothing is known of."""
        if head.seq in self.chain.missing or head.seq in self.chain.altered:
            return
        wrong = [
            name
            for name, said, true in (("hash", head.hash, digest), ("at", head.at, at))
            if said != true
        ]
        if wrong:
            self._note(
                f"its head was changed: its {' and '.join(wrong)} are not of event {head.seq}"
            )
