"""The group of commands, and how every error becomes one line and an exit code."""

from __future__ import annotations

import io
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

import click

from mnemos import __version__
from mnemos.cli import (
    bench_command,
    copies_commands,
    demo,
    erasure_commands,
    grant_commands,
    job_commands,
    life_commands,
    memory_commands,
    model_commands,
    output,
    privacy_commands,
    provenance_commands,
    quarantine_commands,
    recall_commands,
    time_commands,
    timeline,
    upkeep_commands,
    version_commands,
    watermark_commands,
)
from mnemos.errors import InvalidInput, MnemosError, ModelError, StoreError

FINE, NOTHING, USAGE, REFUSED, STORE, MODEL, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

EXIT_CODES = """\b
Exit codes:
  0  fine
  1  nothing found, nothing done, or `verify` found problems
  2  wrong usage, or an input that cannot be used
  3  no such memory, a conflict or clash, a protected memory, or no right to do it
  4  the vault cannot do it (busy, full, read-only, damaged)
  5  a model is missing, wrong or failed
  130  interrupted
\b
Start here:
  mnemos demo
  mnemos add "I moved to Lisbon in March" --user ana
  mnemos search "where does Ana live?" --user ana --why
"""

LEXICAL_ONLY = (
    "no embedding model on this machine, so recall goes by words only; `mnemos models add minilm` "
    "brings it, --no-embedder says that this is meant"
)

_SPELLED = {
    "pass on_conflict='update'": "pass --on-conflict update",
    "user_id or agent_id": "--user or --agent",
    "`get_all` lists": "`mnemos list` shows",
    "get_all lists": "`mnemos list` shows",
    "use get_all to list": "use `mnemos list`",
    "`snapshots` lists those there are": "`mnemos snapshots` lists those there are",
    "`branches` lists those there are": "`mnemos branches` lists those there are",
    "use drop_policy": "use `mnemos policy drop`",
    "restore with replace=True": "restore with --replace",
    "`jobs()` lists": "`mnemos jobs` lists",
    "checkpoint() wrote": "`mnemos checkpoint` wrote",
    "use drop_intake": "use `mnemos intake drop`",
    "with set_intake": "with `mnemos intake set`",
    "with set_redaction": "with `mnemos redaction set`",
    "open Memory(..., seal_key=FILE)": "pass --seal-key FILE",
    "pass key=FILE, or open Memory(seal_key=FILE)": "pass --seal-key FILE",
    "unmasked=True": "--unmasked",
    "without agent_id and run_id": "without --agent and --run",
    "may, with the memory it opened": "may; leave --as out",
    "forget it, or leave it": "`mnemos forget` erases it",
    "as_of=": "--as-of ",
    "as_of has": "--as-of has",
    "valid_at has": "--valid-at has",
}
"""Words of the library's messages, and what the command line calls the same."""

_GRANT = re.compile(r"memory\.grant\((['\"])(.*?)\1, '(\w+)', …\)")
"""How the library's messages say which grant is missing."""


def exit_code(error: Exception) -> int:
    """Return the exit code of an error."""
    if isinstance(error, (InvalidInput, click.ClickException)):
        return USAGE
    if isinstance(error, StoreError):
        return STORE
    return MODEL if isinstance(error, ModelError) else REFUSED


def _report(error: Exception, *, as_json: bool) -> int:
    message = str(error)
    if isinstance(error, click.ClickException):
        message = error.format_message()
        context = error.ctx if isinstance(error, click.UsageError) else None
        if context is not None:
            message = f"{message} (`{context.command_path} --help` says how)"
    for word, spelled in _SPELLED.items():
        message = message.replace(word, spelled)
    message = _GRANT.sub(r"`mnemos grant \2 \3 …`", message)
    message = output.one_line(output.clean(message))
    output.note(message)
    if as_json:
        output.emit({"error": {"type": type(error).__name__, "message": message}})
    return exit_code(error)


class _Remarks:
    """Prints each warning once, as one line on standard error."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = LEXICAL_ONLY if category.__name__ == "LexicalOnly" else str(message)
        if text not in self._said:
            self._said.add(text)
            output.note(text)


class Door(click.Group):
    """The group of all commands: keeps their order, and turns errors into lines and codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they were added."""
        del ctx
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands section by section."""
        limit = formatter.width - 6 - max(map(len, self.commands))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(str(item.name), item.get_short_help_str(limit)) for item in commands],
                    col_max=20,
                )

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and leave with its exit code."""
        given = list(sys.argv[1:] if args is None else args)
        options = given[: given.index("--")] if "--" in given else given
        code: int | None
        with warnings.catch_warnings():
            warnings.filterwarnings("always", message="recalling by words only")
            warnings.showwarning = _Remarks()
            try:
                code = super().main(
                    args=args,
                    prog_name=prog_name,
                    complete_var=complete_var,
                    standalone_mode=False,
                    windows_expand_args=windows_expand_args,
                    **extra,
                )
            except (MnemosError, click.ClickException) as error:
                code = _report(error, as_json="--json" in options)
            except click.Abort:
                output.note("interrupted")
                code = INTERRUPTED
        if standalone_mode:
            sys.exit(code or FINE)
        return code or FINE


@click.group(cls=Door, invoke_without_command=True, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="mnemos")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Memory for language models and agents: one file, no server, no key."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Remember and recall": (
        *memory_commands.WRITING,
        *recall_commands.COMMANDS,
        *memory_commands.KEEPING,
    ),
    "Versions": version_commands.COMMANDS,
    "Time machine": (*time_commands.COMMANDS, *timeline.COMMANDS),
    "Life cycle": life_commands.COMMANDS,
    "Erasure and copies": (*erasure_commands.COMMANDS, *copies_commands.COMMANDS),
    "Sharing": grant_commands.COMMANDS,
    "Trust": quarantine_commands.COMMANDS,
    "Privacy": (*privacy_commands.COMMANDS, *watermark_commands.COMMANDS),
    "Provenance and proof": (*provenance_commands.COMMANDS, upkeep_commands.verify),
    "Upkeep": (
        upkeep_commands.stats,
        upkeep_commands.reembed,
        *job_commands.COMMANDS,
        model_commands.models,
    ),
    "See and measure": (demo.demo, bench_command.bench),
}
"""The commands as the help lists them."""

for _section in SECTIONS.values():
    for _command in _section:
        cli.add_command(_command)


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    cli.main(prog_name="mnemos")


if __name__ == "__main__":
    main()
