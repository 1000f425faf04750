"""Options every command shares, and the memory they lead to."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mnemos.errors import InvalidInput

if TYPE_CHECKING:
    from mnemos.app.memory import Memory

Command = Callable[..., int | None]
"""The function behind a command; what it returns is the exit code, None being 0."""

DB_VARIABLE = "MNEMOS_DB"
EMBEDDER_VARIABLE = "MNEMOS_EMBEDDER"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the shared options say.

    Parameters
    ----------
    db : str
        Path of the vault.
    tenant, user, agent, run : str or None
        Whose memory.
    tz : str
        Zone of times given without one, and of times shown.
    embedder : str
        Which embedder, as :func:`mnemos.app.config.read_embedder` understands it.
    no_embedder : bool
        Whether to recall by words only.
    json : bool
        Whether to print one JSON document.
    """

    db: str
    tenant: str
    user: str | None
    agent: str | None
    run: str | None
    tz: str
    embedder: str
    no_embedder: bool
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


def example(*lines: str) -> str:
    """Return examples laid out for the end of a help page."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])


def open_memory(settings: Settings, *, make: bool = False, rebuild_words: bool = False) -> Memory:
    """Open the vault the options name.

    Parameters
    ----------
    settings : Settings
        The shared options.
    make : bool
        Whether to make a vault where there is none; a command that only looks should not.
    rebuild_words : bool
        Whether to make the word index again where another version made it.

    Raises
    ------
    InvalidInput
        If there is no vault and none is to be made.
    StoreError
        If the file cannot be opened as one.
    """
    from mnemos.app.memory import Memory

    if not make and settings.db != ":memory:" and not Path(settings.db).exists():
        raise InvalidInput(
            f"there is no vault at {settings.db!r}; `mnemos add` or `mnemos ingest` makes one, "
            f"--db or {DB_VARIABLE} names another"
        )
    return Memory(
        settings.db,
        tenant=settings.tenant,
        tz=settings.tz,
        embedder=None if settings.no_embedder else settings.embedder,
        rebuild_words=rebuild_words,
    )


def read_argument(text: str) -> str:
    """Return a text given on the command line, or all of standard input for ``-``."""
    return sys.stdin.read() if text == "-" else text
