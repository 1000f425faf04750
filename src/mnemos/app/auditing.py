"""The calls about who read what: counted, or journalled before the answer."""

from __future__ import annotations

from datetime import timedelta

from mnemos.app.handle import Handle, Moment
from mnemos.app.lifecycle import Duration, read_duration
from mnemos.app.scopes import read_count, read_moment, read_name
from mnemos.errors import InvalidInput
from mnemos.kernel import schema
from mnemos.kernel.canonical import moment
from mnemos.kernel.changes import DropReads, SetRule
from mnemos.kernel.governance.auditing import DAY, Mode, ReadCount, ReadNote
from mnemos.kernel.governance.grants import Verb
from mnemos.kernel.governance.rules import Sort
from mnemos.kernel.journal import find_subject, seq_at
from mnemos.kernel.proof.log import entries
from mnemos.memories.input_values import shown
from mnemos.types import Receipt


class Auditing(Handle):
    """Calls that say how reads are audited, and show what was noted."""

    def set_audit(
        self,
        mode: str,
        *,
        keep: Duration = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        everywhere: bool = False,
    ) -> Receipt:
        """Say how reads of somebody's memories are audited.

        ``counted``, the default, adds up calls and memories per principal and day: free, and lossy
        over a crash. ``audited`` journals every read before the caller gets the answer: who, by
        which call, which memories, why, at what cost. It makes each read a commit.

        Parameters
        ----------
        mode : str
            ``counted`` or ``audited``.
        keep : duration or None
            How long the notes of reads are kept; then the sweeper erases what they say, and only
            that there was a read stays in the chain. None keeps them.
        user_id, agent_id : str or None
            Whose memories; or ``everywhere`` for the whole tenant.

        Raises
        ------
        InvalidInput, ScopeRequired, Forbidden
            Nothing was set.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     id = memory.add("The boat is called Alma", user_id="ana").id
        ...     _ = memory.set_audit("audited", user_id="ana")
        ...     _ = memory.search("boat", user_id="ana")
        ...     note = memory.reads(user_id="ana")[0]
        ...     note.principal, note.call, note.ids == (id,)
        ('owner', 'search', True)
        """
        if mode not in tuple(Mode):
            raise InvalidInput(f"mode={shown(mode)} is unknown; allowed: {', '.join(Mode)}")
        seconds = read_duration("keep", keep)
        value = {"mode": mode} if seconds is None else {"mode": mode, "keep": seconds}
        scope = self._rule_scope("set_audit", user_id, agent_id, everywhere)
        change = SetRule(
            id=self._vault.ids.fresh(),
            sort=Sort.AUDIT,
            name="",
            value=value,
            everywhere=everywhere,
        )
        return self._write("set_audit", scope, [change])

    def reads(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        principal: str | None = None,
        id: str | None = None,
        since: Moment = None,
        until: Moment = None,
        limit: int = 100,
        newest_first: bool = False,
    ) -> list[ReadNote]:
        """Return the audited reads of somebody's memories, in order.

        Parameters
        ----------
        user_id, agent_id : str or None
            Whose memories; needs the right to administer them.
        principal : str or None
            Only what this one read.
        id : str or None
            Only reads that returned this memory.
        since, until : datetime, str, number or None
            From then on, and before then.
        limit : int
            Most notes to return.
        newest_first : bool
            Walk back in time.

        Raises
        ------
        ScopeRequired
            Without a user or an agent.
        """
        scope = self._required_scope("reads", user_id, agent_id, None)
        wanted, memory = read_name("principal", principal), read_name("id", id)
        read_count("limit", limit)
        found: list[ReadNote] = []
        with self._records(scope, Verb.ADMIN) as tx:
            walk = entries(
                tx,
                self._tenant,
                subject=scope.subject,
                verbs={"read"},
                since=read_moment("since", since, self._zone),
                until=read_moment("until", until, self._zone),
                newest_first=newest_first,
            )
            for entry in walk:
                value = entry.detail
                if not value or (wanted is not None and value["principal"] != wanted):
                    continue
                if memory is not None and memory not in value["ids"]:
                    continue
                found.append(
                    ReadNote(
                        seq=entry.seq,
                        at=entry.at,
                        principal=value["principal"],
                        call=value["call"],
                        subject=value["subject"],
                        ids=tuple(value["ids"]),
                        memories=value["memories"],
                        reason=value.get("reason"),
                        cost=value.get("cost", {}),
                    )
                )
                if len(found) == limit:
                    break
        return found

    def read_counts(
        self, *, user_id: str | None = None, agent_id: str | None = None
    ) -> list[ReadCount]:
        """Return how often who read of somebody's memories, day by day; lossy over a crash.

        Examples
        --------
        >>> from mnemos import Memory
        >>> with Memory(":memory:", embedder=None) as memory:
        ...     _ = memory.add("The boat is called Alma", user_id="ana")
        ...     _ = memory.search("boat", user_id="ana"), memory.search("sea", user_id="ana")
        ...     [(item.principal, item.call, item.calls) for item in memory.read_counts(user_id="ana")]
        [('owner', 'search', 2)]
        """
        scope = self._required_scope("read_counts", user_id, agent_id, None)
        self._vault.flush_usage()
        with self._records(scope, Verb.ADMIN) as tx:
            number = find_subject(tx, self._tenant, scope.subject)
            rows = tx.scan(schema.READS, (self._tenant, number)) if number is not None else ()
            return [
                ReadCount(
                    day=moment(row.day * DAY).date().isoformat(),
                    principal=row.principal,
                    call=row.call,
                    calls=row.calls,
                    memories=row.memories,
                )
                for row in rows
            ]

    def drop_reads(
        self,
        *,
        older_than: Duration,
        user_id: str | None = None,
        agent_id: str | None = None,
    ) -> Receipt:
        """Erase what audited reads say that are older than a span; that there were reads stays.

        Raises
        ------
        InvalidInput, ScopeRequired, Forbidden
            Nothing was erased.
        """
        scope = self._required_scope("drop_reads", user_id, agent_id, None)
        seconds = read_duration("older_than", older_than)
        if seconds is None:
            raise InvalidInput("older_than=None is no span of time; give one such as '90d'")
        with self._records(scope, Verb.ADMIN) as tx:
            before = seq_at(tx, self._tenant, self._now() - timedelta(seconds=seconds)) + 1
        return self._write("drop_reads", scope, [DropReads(before=before)])
