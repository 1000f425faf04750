"""The life of memories: archive, reactivate, freeze, thaw, hold, release, policies, the sweeper."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from mnemos.cli import output
from mnemos.cli.governing_options import EVERYWHERE, KINDS, check_whose, whose, written
from mnemos.cli.options import (
    BRANCH,
    Command,
    Family,
    Settings,
    Where,
    common,
    example,
    open_memory,
    place,
    zone_of,
)
from mnemos.errors import InvalidInput
from mnemos.types import Receipt

if TYPE_CHECKING:
    from mnemos.app.memory import Memory
    from mnemos.kernel.upkeep.retention import PolicyEntry

NOTHING = 1
KIND = click.option(
    "--kind",
    type=KINDS,
    metavar="KIND",
    help="Which memories; every kind if left out.",
)


def _move(name: str, said: str, call: Callable[[Memory], Any], doc: str) -> click.Command:
    """Return a command that moves one memory through its life."""

    def run(settings: Settings, id: str, branch: str | None) -> None:
        with open_memory(replace(settings, no_embedder=True)) as memory:
            there = place(memory, settings, Where(branch=branch))
            receipt: Receipt = call(there)(id, user_id=settings.user, agent_id=settings.agent)
        written(settings, receipt, f"{receipt.id} {said}")

    run.__doc__ = doc
    options: tuple[Callable[[Command], Command], ...] = (
        click.argument("id"),
        common,
        BRANCH,
    )
    function: Command = run
    for option in reversed(options):
        function = option(function)
    return click.command(name, epilog=example(f"mnemos {name} 0f3a9c…"))(function)


MOVES = (
    _move(
        "archive",
        "is archived; `mnemos reactivate` brings it back",
        lambda memory: memory.archive,
        "Take a memory out of view, without erasing it.",
    ),
    _move(
        "reactivate",
        "is current again",
        lambda memory: memory.restore,
        "Bring an archived, superseded or merged memory back.",
    ),
    _move(
        "freeze",
        "is frozen; `mnemos thaw` lets it change again",
        lambda memory: memory.freeze,
        "Keep a memory as it is: no update, no move, no decay. It can still be forgotten.",
    ),
    _move(
        "thaw",
        "may change again",
        lambda memory: memory.thaw,
        "Let a frozen memory change again.",
    ),
    _move(
        "hold",
        "is under a legal hold; `mnemos release` lifts it",
        lambda memory: memory.hold,
        "Put a memory under a legal hold: nothing can forget it.",
    ),
    _move(
        "release",
        "is under no legal hold any more",
        lambda memory: memory.release,
        "Lift a legal hold.",
    ),
)


@click.command(epilog=example("mnemos usage 0f3a9c…"))
@click.argument("id")
@common
def usage(settings: Settings, id: str) -> None:
    """Show how often a memory was recalled, and its strength."""
    with open_memory(replace(settings, no_embedder=True)) as memory:
        found = memory.usage(id, user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit(asdict(found))
        return
    zone = zone_of(settings)
    output.say(
        output.pairs(
            [
                ("recalled", output.plural(found.reads, "time")),
                ("first", output.when(found.first, zone)),
                ("last", output.when(found.last, zone)),
                ("strength", f"{found.strength:.4g}, by {_law(found.law)}"),
            ]
        )
    )


# -------------------------------------------------------------------------------------- policies


@click.group(cls=Family)
def policy() -> None:
    """Say how long memories live: list, set, drop."""


@policy.command(
    "set",
    epilog=example(
        "mnemos policy set --user ana --kind turn --ttl 90d --grace 7d",
        "mnemos policy set --everywhere --kind episode --capacity 500",
        "mnemos policy set --user ana --archive-below 0.1 --law ebbinghaus,stability_days=30",
    ),
)
@common
@KIND
@EVERYWHERE
@click.option("--ttl", metavar="SPAN", help="How long a new memory lives: 90s, 15m, 24h, 30d, 2w.")
@click.option("--retain", metavar="SPAN", help="How old a memory may get since it was recorded.")
@click.option("--grace", metavar="SPAN", help="From expiry to being forgotten; 7d by default.")
@click.option("--archive-below", type=float, metavar="X", help="Strength that archives it.")
@click.option("--law", metavar="NAME[,PARAMETER=VALUE…]", help="Law of strength.")
@click.option("--capacity", type=int, metavar="N", help="Most in view; the weakest are archived.")
@click.option(
    "--quarantine", metavar="SPAN", help="How long it waits for approval; 30d by default."
)
def set_policy(settings: Settings, kind: str | None, everywhere: bool, **how: Any) -> None:
    """Set the policy of a kind.

    It is for a user, an agent or everywhere, and replaces the one before.
    """
    check_whose(settings, everywhere, "policy")
    law = _read_law(how.pop("law"))
    with open_memory(replace(settings, no_embedder=True), make=True) as memory:
        receipt = memory.set_policy(
            kind,
            user_id=settings.user,
            agent_id=settings.agent,
            everywhere=everywhere,
            law=law,
            **how,
        )
    written(settings, receipt, f"policy set for {whose(settings, everywhere)}, {_kinds(kind)}")


@policy.command("list", epilog=example("mnemos policy list --user ana"))
@common
def list_policies(settings: Settings) -> int | None:
    """List the policies that bear on somebody.

    Without --user or --agent they are those of the whole tenant.
    """
    with open_memory(settings) as memory:
        found = memory.policies(user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit({"policies": [_policy_document(entry) for entry in found]})
    elif found:
        rows = [
            (
                whose(settings, entry.everywhere),
                entry.kind or "every kind",
                "\n".join(f"{name} {_value(name, value)}" for name, value in _set(entry).items()),
            )
            for entry in found
        ]
        output.say(output.table(rows, ("whose", "kind", "policy")))
    if not found:
        output.note("no policies; `mnemos policy set` sets one")
        return NOTHING
    return None


@policy.command("drop", epilog=example("mnemos policy drop --user ana --kind turn"))
@common
@KIND
@EVERYWHERE
def drop_policy(settings: Settings, kind: str | None, everywhere: bool) -> None:
    """Remove the policy of a kind. Lifespans it has given stay."""
    check_whose(settings, everywhere, "policy")
    with open_memory(replace(settings, no_embedder=True)) as memory:
        receipt = memory.drop_policy(
            kind, user_id=settings.user, agent_id=settings.agent, everywhere=everywhere
        )
    written(settings, receipt, f"policy dropped for {whose(settings, everywhere)}, {_kinds(kind)}")


def _kinds(kind: str | None) -> str:
    return kind or "every kind"


def _read_law(text: str | None) -> dict[str, Any] | None:
    """Return the law ``NAME[,PARAMETER=VALUE…]`` names."""
    if text is None:
        return None
    name, *pairs = text.split(",")
    law: dict[str, Any] = {"law": name}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            law[key] = float(value)
        except ValueError as error:
            raise InvalidInput(
                f"--law {text!r}: {pair!r} is not PARAMETER=NUMBER; such as "
                "ebbinghaus,stability_days=30"
            ) from error
    return law


def _law(law: Any) -> str:
    values = {name: value for name, value in dict(law).items() if name != "law"}
    return ", ".join([law["law"], *(f"{name}={value:g}" for name, value in values.items())])


def _set(entry: PolicyEntry) -> dict[str, Any]:
    return entry.policy.to_json()


def _value(name: str, value: Any) -> str:
    if name == "law":
        return _law(value)
    return output.span(value) if name in ("ttl", "retain", "grace", "quarantine") else f"{value:g}"


def _policy_document(entry: PolicyEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "everywhere": entry.everywhere,
        "kind": entry.kind,
        "policy": json.loads(json.dumps(_set(entry))),
    }


@click.command(epilog=example("mnemos sweep --db memory.db"))
@common
@click.option("--limit", type=int, default=10_000, show_default=True, help="Most memories touched.")
def sweep(settings: Settings, limit: int) -> None:
    """Expire, forget and archive what is due now."""
    with open_memory(replace(settings, no_embedder=True)) as memory:
        report = memory.sweep(limit=limit)
    if settings.json:
        output.emit(asdict(report))
    touched = len(report.expired) + len(report.archived) + len(report.forgotten)
    if not settings.json and (touched or report.held):
        rows = [
            (name, f"{len(getattr(report, name)):,}")
            for name in ("expired", "archived", "forgotten", "held", "passed")
        ]
        output.say(output.table(rows, ("what became of them", "memories")))
    if report.more:
        output.note("it stopped at its limit; sweep again")
    if not touched:
        output.note("nothing was due")


COMMANDS: tuple[click.Command, ...] = (*MOVES, usage, policy, sweep)
