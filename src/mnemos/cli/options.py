"""Options every command shares, and the memory they lead to."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnemos.errors import InvalidInput, NotFound
from mnemos.types import State

if TYPE_CHECKING:
    from mnemos.app.memory import Memory

Command = Callable[..., int | None]
"""The function behind a command; what it returns is the exit code, None being 0."""

DB_VARIABLE = "MNEMOS_DB"
EMBEDDER_VARIABLE = "MNEMOS_EMBEDDER"
OWNER = "owner"
"""Who opens a vault, and acts where no other principal is named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the shared options say.

    Parameters
    ----------
    db : str
        Path of the vault.
    tenant, user, agent, run : str or None
        Whose memory.
    acting : str or None
        As which principal; None is the owner of the vault.
    reason : str or None
        Why it reads, noted where reads are audited.
    tz : str
        Zone of times given without one, and of times shown.
    embedder : str
        Which embedder, as :func:`mnemos.app.config.read_embedder` understands it.
    no_embedder : bool
        Whether to recall by words only.
    seal_key : str or None
        File of the key that what redaction vaults is sealed with.
    json : bool
        Whether to print one JSON document.
    """

    db: str
    tenant: str
    user: str | None
    agent: str | None
    run: str | None
    acting: str | None
    reason: str | None
    tz: str
    embedder: str
    no_embedder: bool
    seal_key: str | None
    json: bool


def json_option(function: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", is_flag=True, help="Print one JSON document and nothing else.")(
        function
    )


_SHARED: tuple[Callable[[Command], Command], ...] = (
    click.option(
        "--db",
        metavar="PATH",
        envvar=DB_VARIABLE,
        default="memory.db",
        show_default=True,
        help=f"File of the vault; {DB_VARIABLE} sets another default.",
    ),
    click.option("--user", metavar="ID", help="Whose memory."),
    click.option("--agent", metavar="ID", help="Which agent's memory, alone or with --user."),
    click.option("--run", metavar="ID", help="Only this run or session."),
    click.option("--tenant", metavar="ID", default="default", help="Organisation it belongs to."),
    click.option(
        "--as",
        "acting",
        metavar="PRINCIPAL",
        help="Act as user:…, agent:… or service:…, with the rights it was granted.",
    ),
    click.option("--reason", metavar="TEXT", help="Why; noted where reads are audited."),
    click.option(
        "--tz",
        metavar="ZONE",
        default="UTC",
        show_default=True,
        help="Zone of times given without one, and of times shown.",
    ),
    click.option(
        "--embedder",
        metavar="NAME",
        envvar=EMBEDDER_VARIABLE,
        default="auto",
        show_default=True,
        help="auto, openai:MODEL@BASE_URL or sentence-transformers:NAME.",
    ),
    click.option("--no-embedder", is_flag=True, help="Work by words only, without the model."),
    click.option(
        "--seal-key",
        metavar="FILE",
        help="Key for values that redaction vaults; `mnemos watermark key` makes one.",
    ),
    json_option,
)


def common(function: Command) -> Command:
    """Add the shared options; the command gets them as one :class:`Settings`, its first argument."""

    @functools.wraps(function)
    def run(**values: Any) -> int | None:
        shared = {item.name: values.pop(item.name) for item in fields(Settings)}
        return function(Settings(**shared), **values)

    decorated: Command = run
    for option in reversed(_SHARED):
        decorated = option(decorated)
    return decorated


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """Where in time a command looks.

    Parameters
    ----------
    as_of : str or None
        What was known then: an ISO time, a position such as ``#17``, or a snapshot's name.
    valid_at : str or None
        What was true then, an ISO time.
    branch : str or None
        On which branch; None is the main line.
    """

    as_of: str | None = None
    valid_at: str | None = None
    branch: str | None = None

    def __bool__(self) -> bool:
        return any((self.as_of, self.valid_at, self.branch))


MOMENT = "MOMENT: an ISO time, a position such as `#17`, or a snapshot's name."

BRANCH = click.option("--branch", metavar="NAME", help="On this branch; the main line if left out.")

_TIMES: tuple[Callable[[Command], Command], ...] = (
    click.option(
        "--as-of",
        metavar="MOMENT",
        help="What was known then: an ISO time, a position `#17`, or a snapshot.",
    ),
    click.option("--valid-at", metavar="TIME", help="What was true then, in ISO 8601."),
    BRANCH,
)


def in_time(function: Command) -> Command:
    """Add ``--as-of``, ``--valid-at`` and ``--branch``; the command gets them as ``where``."""

    @functools.wraps(function)
    def run(*args: Any, **values: Any) -> int | None:
        where = Where(**{item.name: values.pop(item.name) for item in fields(Where)})
        return function(*args, where=where, **values)

    decorated: Command = run
    for option in reversed(_TIMES):
        decorated = option(decorated)
    return decorated


def place(memory: Memory, settings: Settings, where: Where, *, id: str | None = None) -> Memory:
    """Return the memory as it stands at a place in time: itself, where none is named.

    Parameters
    ----------
    memory : Memory
        The opened vault.
    settings : Settings
        Whose memory.
    where : Where
        The place.
    id : str or None
        The memory a command is about, which then says whose it is.

    Raises
    ------
    InvalidInput
        If a branch is named and nobody whose it is.
    """
    if not where:
        return memory
    user, agent = settings.user, settings.agent
    if user is None and agent is None:
        if where.branch is not None:
            require_scope(settings, "--branch", "whose branch is meant")
        if id is not None:
            user, agent = _owner(memory, id)
    return memory.view(
        as_of=where.as_of,
        valid_at=where.valid_at,
        branch=where.branch,
        user_id=user,
        agent_id=agent,
    )


def _owner(memory: Memory, id: str) -> tuple[str | None, str | None]:
    try:
        subject = memory.history(id)[-1].scope.subject
    except NotFound as error:
        raise NotFound(f"{error}; --user or --agent says whose it was") from error
    sort, _, name = subject.partition(":")
    return (name, None) if sort == "user" else (None, name or None)


def require_scope(settings: Settings, verb: str, why: str = "whose memories are meant") -> None:
    """Pass if the options say whose memory.

    Raises
    ------
    InvalidInput
        Otherwise.
    """
    if settings.user is None and settings.agent is None:
        raise InvalidInput(f"{verb} needs --user or --agent: it says {why}")


STATES = click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State if state is not State.FORGOTTEN]),
    metavar="STATE",
    help="Among memories of this state, such as archived; may be repeated.",
)

YES = click.option("--yes", is_flag=True, help="Do not ask.")


def check_can_ask(yes: bool, verb: str) -> None:
    """Pass if there is no need to ask, or somebody there to answer.

    Raises
    ------
    click.UsageError
        Otherwise.
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError(f"{verb}, and standard input is no terminal to ask at; pass --yes")


class Family(click.Group):
    """Commands about one thing: keeps their order, and lists or shows where none is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they were added."""
        del ctx
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take ``list`` or ``show`` as the command where only its options are given."""
        looking = next((name for name in ("list", "show") if name in self.commands), None)
        if looking is not None and not {"--help", *self.commands} & set(args[:1]):
            args = [looking, *args] if not args or args[0].startswith("-") else args
        return super().parse_args(ctx, args)


def example(*lines: str) -> str:
    """Return examples laid out for the end of a help page."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])


@contextmanager
def open_memory(
    settings: Settings,
    *,
    make: bool = False,
    rebuild_words: bool = False,
    background: str = "inline",
) -> Generator[Memory, None, None]:
    """Open the vault the options name, in the hands of whom they name, and close it afterwards.

    Parameters
    ----------
    settings : Settings
        The shared options.
    make : bool
        Whether to make a vault where there is none; a command that only looks should not.
    rebuild_words : bool
        Whether to make the word index again where another version made it.
    background : str
        When work left for later is done: a little after each write, or ``off``.

    Yields
    ------
    Memory
        The vault.

    Raises
    ------
    InvalidInput
        If there is no vault and none is to be made, or no principal is named so.
    NotFound
        If there is no file of the key.
    StoreError
        If the file cannot be opened as one.
    """
    from mnemos.app.memory import Memory

    if not make and settings.db != ":memory:" and not Path(settings.db).exists():
        raise InvalidInput(
            f"there is no vault at {settings.db!r}; `mnemos add` or `mnemos ingest` makes one, "
            f"--db or {DB_VARIABLE} names another"
        )
    with Memory(
        settings.db,
        tenant=settings.tenant,
        tz=settings.tz,
        embedder=None if settings.no_embedder else settings.embedder,
        rebuild_words=rebuild_words,
        background=background,
        seal_key=settings.seal_key,
    ) as memory:
        if settings.acting is None and settings.reason is None:
            yield memory
        else:
            yield memory.acting_as(settings.acting or OWNER, reason=settings.reason)


def zone_of(settings: Settings) -> tzinfo:
    """Return the zone times are shown in."""
    from mnemos.app.config import read_zone

    return read_zone(settings.tz)


def read_argument(text: str) -> str:
    """Return a text given on the command line, or all of standard input for ``-``."""
    return sys.stdin.read() if text == "-" else text
