"""Sharing memories: grant, grants, revoke-grant, group, groups."""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from mnemos.cli import documents, output
from mnemos.cli.governing_options import EVERYWHERE, KINDS, check_whose, whose, written
from mnemos.cli.options import (
    Settings,
    common,
    example,
    open_memory,
    require_scope,
    zone_of,
)

if TYPE_CHECKING:
    from mnemos.kernel.governance.grants import Grant

NOTHING = 1
NAME = 28
"""Columns a name takes in a table before it is wrapped."""


@click.command(
    epilog=example(
        "mnemos grant user:ben reader --user ana",
        "mnemos grant agent:scout read write --user ana --kind fact --kind task --until 2031-01-01",
        "mnemos grant group:family reader --user ana --label health --unmasked",
        "mnemos grant service:backup admin --everywhere",
    )
)
@click.argument("principal")
@click.argument("what", nargs=-1, required=True, metavar="WHAT...")
@common
@EVERYWHERE
@click.option(
    "--kind", "kinds", multiple=True, type=KINDS, metavar="KIND", help="Only this; may be repeated."
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="LABEL",
    help="Sensitivity label it clears, '*' for all; may be repeated.",
)
@click.option(
    "--trust",
    type=float,
    metavar="X",
    help="Most trust of what they write, 0 to 1; 0.5 if left out. Below 0.7 it is quoted.",
)
@click.option("--unmasked", is_flag=True, help="They see what redaction masks on reading.")
@click.option("--until", metavar="TIME", help="End of it, in ISO 8601.")
def grant(
    settings: Settings, principal: str, what: tuple[str, ...], everywhere: bool, **how: Any
) -> None:
    """Let PRINCIPAL do something with memories.

    PRINCIPAL is user:NAME, agent:NAME, service:NAME or group:NAME. WHAT is a role (reader, writer, curator,
    sharer, admin) or verbs (read, write, forget, approve, share, admin). With --user and --agent
    it is for the user's memories of that agent, with --run for those of that run.
    """
    check_whose(settings, everywhere, "grant")
    labels = how.pop("labels")
    given = {name: value for name, value in how.items() if value not in (None, ())}
    with open_memory(replace(settings, no_embedder=True), make=True) as memory:
        receipt = memory.grant(
            principal,
            what[0] if len(what) == 1 else what,
            user_id=settings.user,
            agent_id=settings.agent,
            run_id=settings.run,
            everywhere=everywhere,
            labels="*" if "*" in labels else labels,
            **given,
        )
    scope = "--everywhere" if everywhere else _scope_options(settings)
    written(
        settings,
        receipt,
        f"granted to {output.clean(principal)}: {', '.join(map(output.clean, what))}, with the "
        f"memories of {_of(settings, everywhere)}\n"
        f"`mnemos revoke-grant {receipt.id} {scope}` takes it back",
    )


def _of(settings: Settings, everywhere: bool) -> str:
    """Return whose memories a grant is for, in words."""
    parts = [whose(settings, everywhere)]
    if settings.user is not None and settings.agent is not None:
        parts.append(f"with {output.clean(settings.agent)}")
    if settings.run is not None:
        parts.append(f"in run {output.clean(settings.run)}")
    return " ".join(parts)


def _scope_options(settings: Settings) -> str:
    options = (("--user", settings.user), ("--agent", settings.agent))
    given = (f"{name} {quote(value)}" for name, value in options if value is not None)
    return output.clean(" ".join(given))


@click.command(epilog=example("mnemos grants --user ana"))
@common
def grants(settings: Settings) -> int | None:
    """List who may do what with somebody's memories."""
    require_scope(settings, "grants")
    with open_memory(replace(settings, no_embedder=True)) as memory:
        found = memory.grants(user_id=settings.user, agent_id=settings.agent)
    if settings.json:
        output.emit({"grants": [_grant_document(item) for item in found]})
    elif found:
        output.say(_grant_table(found, zone_of(settings)))
    if not found:
        output.note("nothing is granted; `mnemos grant` grants something")
        return NOTHING
    return None


def _grant_document(item: Grant) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": item.id,
        "principal": item.principal,
        "verbs": _verbs(item),
        "trust": item.trust,
        "by": item.by,
        "everywhere": item.everywhere,
        "labels": "*" if item.labels is None else sorted(item.labels),
        "unmasked": item.unmasked,
    }
    given = {
        "kinds": None if item.kinds is None else sorted(item.kinds),
        "agent": item.agent_id,
        "run": item.run_id,
        "until": documents.iso(item.until),
    }
    return document | {name: value for name, value in given.items() if value is not None}


def _verbs(item: Grant) -> list[str]:
    """Return the verbs of a grant, in the order in which they are told."""
    from mnemos.kernel.governance.grants import Verb

    return [verb.value for verb in Verb if verb in item.verbs]


def _grant_table(found: tuple[Grant, ...], zone: tzinfo) -> str:
    width = max(34, output.columns() - NAME - 2)
    rows = [
        (
            "\n".join(output.wrap(item.principal, NAME)),
            "\n".join(
                [
                    f"may {', '.join(_verbs(item))}",
                    *(line for said in _bounds(item, zone) for line in output.wrap(said, width)),
                    f"id {item.id}",
                ]
            ),
        )
        for item in found
    ]
    return output.table(rows, ("who", "grant"))


def _bounds(item: Grant, zone: tzinfo) -> list[str]:
    """Return what bounds a grant, a line each."""
    of = [
        f"{name} {value}"
        for name, value in (("agent", item.agent_id), ("run", item.run_id))
        if value
    ]
    labels = (
        ["every label"]
        if item.labels is None
        else [f"label {name}" for name in sorted(item.labels or ())]
    )
    seen = [*labels, *(["unmasked"] if item.unmasked else [])]
    lines = [
        ", ".join(["of everybody" if item.everywhere else "", *of]).strip(", "),
        f"kinds: {', '.join(sorted(item.kinds))}" if item.kinds is not None else "",
        f"sees {', '.join(seen)}" if seen else "",
        f"what they write has trust {item.trust:g} at the most" if "write" in item.verbs else "",
        f"until {output.when(item.until, zone)}" if item.until is not None else "",
        f"given by {item.by}",
    ]
    return [line for line in lines if line]


@click.command("revoke-grant", epilog=example("mnemos revoke-grant 5e21d7… --user ana"))
@click.argument("id")
@common
@EVERYWHERE
def revoke_grant(settings: Settings, id: str, everywhere: bool) -> None:
    """Take a grant back, and all that was passed on by it."""
    check_whose(settings, everywhere, "revoke-grant")
    with open_memory(replace(settings, no_embedder=True)) as memory:
        receipt = memory.revoke_grant(
            id, user_id=settings.user, agent_id=settings.agent, everywhere=everywhere
        )
    written(
        settings, receipt, f"grant {output.clean(id)} is taken back, and what was passed on by it"
    )


@click.command(
    epilog=example(
        "mnemos group group:family user:ana user:ben", "mnemos group group:family --dissolve"
    )
)
@click.argument("name")
@click.argument("members", nargs=-1, metavar="MEMBER...")
@common
@click.option("--dissolve", is_flag=True, help="Nobody belongs to it any more.")
def group(settings: Settings, name: str, members: tuple[str, ...], dissolve: bool) -> None:
    """Say who belongs to a group.

    NAME begins with group: and members are principals or other groups, and replace those there were.
    """
    if dissolve == bool(members):
        raise click.UsageError("name the members of the group, or pass --dissolve")
    with open_memory(replace(settings, no_embedder=True), make=True) as memory:
        receipt = memory.set_group(name, members)
    count = output.plural(len(set(members)), "member")
    shown = output.clean(name)
    written(settings, receipt, f"{shown} is dissolved" if dissolve else f"{shown} has {count}")


@click.command(epilog=example("mnemos groups"))
@common
def groups(settings: Settings) -> int | None:
    """List the groups and who belongs to each."""
    with open_memory(replace(settings, no_embedder=True)) as memory:
        found = memory.groups()
    if settings.json:
        output.emit({"groups": {name: list(members) for name, members in found.items()}})
    elif found:
        width = max(34, output.columns() - NAME - 2)
        rows = [
            (
                "\n".join(output.wrap(name, NAME)),
                "\n".join(line for member in members for line in output.wrap(member, width)),
            )
            for name, members in found.items()
        ]
        output.say(output.table(rows, ("group", "members")))
    if not found:
        output.note("no groups; `mnemos group` makes one")
        return NOTHING
    return None


COMMANDS: tuple[click.Command, ...] = (grant, grants, revoke_grant, group, groups)
