"""Options about whom a rule is for, where words come from, and conditions; what they say."""

from __future__ import annotations

import json
from typing import Any

import click

from mnemos.cli import documents, output
from mnemos.cli.options import Settings, require_scope
from mnemos.errors import InvalidInput
from mnemos.types import Kind, Origin, Receipt

KINDS = click.Choice([kind.value for kind in Kind])
ORIGINS = click.Choice([origin.value for origin in Origin])

EVERYWHERE = click.option("--everywhere", is_flag=True, help="For the whole tenant.")

ORIGIN = click.option(
    "--origin",
    type=ORIGINS,
    metavar="ORIGIN",
    help=f"Where the words come from: {', '.join(Origin)}. Trust follows from it.",
)

FILTER = click.option(
    "--filter",
    "conditions",
    metavar="JSON",
    help='Conditions on what is known of a memory, such as \'{"tags": "boat"}\'.',
)


def read_json(option: str, text: str | None, such_as: str) -> Any:
    """Return the JSON value an option gives, or None.

    Parameters
    ----------
    option : str
        Its name, for the message.
    text : str or None
        What was given.
    such_as : str
        A value that is allowed.

    Raises
    ------
    InvalidInput
        If it is not JSON.
    """
    from mnemos.memories.input_values import shown

    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{option} {shown(text)} is not JSON ({error}); give an object such as '{such_as}'"
        ) from error


def read_filter(text: str | None) -> Any:
    """Return the conditions ``--filter`` gives, for the library to check."""
    value = read_json("--filter", text, '{"tags": "boat"}')
    if text is not None and value is None:
        raise InvalidInput("--filter null holds no condition; leave it out, or give an object")
    return value


def check_whose(settings: Settings, everywhere: bool, verb: str) -> None:
    """Pass if it is said for whose memories a rule is.

    Raises
    ------
    InvalidInput
        Otherwise.
    """
    if not everywhere:
        require_scope(settings, verb, "whose memories are meant; or --everywhere for all")


def whose(settings: Settings, everywhere: bool) -> str:
    """Return for whose memories a rule is, in words."""
    return "everybody" if everywhere else output.clean(settings.user or settings.agent or "default")


def written(settings: Settings, receipt: Receipt, said: str) -> None:
    """Print what a call wrote: its receipt as JSON, or a line for people."""
    if settings.json:
        output.emit(documents.receipt_document(receipt))
    else:
        output.say(said)
