"""`breakeven ...`: thin commands that call what Dagster calls."""

import errno
import importlib
import sys
from importlib.util import find_spec
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from pipeline import __version__
from pipeline.errors import BreakevenError, LandingError, MissingExtraError
from pipeline.formats.writing import printable

# Heading -> name -> where it is, and what it does in one line of `--help`. Imported only when called, so that an
# agent's small install can still say `--help`, and anybody's says it at once.
_SECTIONS = {
    "First look": {
        "check": ("pipeline.cli.check:check", "Your cost per million tokens now: no project, nothing kept"),
        "demo": ("pipeline.cli.run:demo", "A generated company through the whole pipeline"),
        "init": ("pipeline.cli.init:init", "Find what is there and write a first breakeven.yaml"),
        "doctor": ("pipeline.cli.doctor:doctor", "What is wrong, and the one thing to fix next"),
    },
    "Every day": {
        "run": ("pipeline.cli.run:run", "Fetch every source, build, say what changed, tell Slack"),
        "status": ("pipeline.cli.show:status", "What is settled, what is missing, what needs a person"),
        "ui": ("pipeline.cli.ui:ui", "The daily assets in Dagster, on 127.0.0.1"),
        "alerts": ("pipeline.cli.alerts:alerts", "What Slack is told, and what people say to it"),
        "ack": ("pipeline.cli.events:ack", "Somebody took note of a case: it is not told again"),
        "snooze": ("pipeline.cli.events:snooze", "Keep a case quiet until a moment"),
    },
    "What it costs": {
        "costs": ("pipeline.cli.show:costs", "What a million tokens really cost; budgets; --by, --bridge"),
        "owners": ("pipeline.cli.owners:owners", "Spend that nobody owns, and the line that says whose it is"),
        "waste": ("pipeline.cli.show:waste", "Where the GPU bill went, by deployment and state"),
        "prices": ("pipeline.cli.prices:prices", "API tokens at list, as billed and avoidable"),
        "rating": ("pipeline.cli.rating:rating", "Metered tokens at their price, beside what was billed"),
        "explain": ("pipeline.cli.explain:explain", "Where a figure comes from, back to the bytes"),
        "explore": ("pipeline.cli.explore:explore", "A page that opens from disk: costs by day, sliced as you like"),
        "sql": ("pipeline.cli.show:sql", "Ask the snapshot's tables directly"),
    },
    "What to do": {
        "verdict": ("pipeline.cli.show:verdict", "Stay, fill, release or switch, and at which volume"),
        "advice": ("pipeline.cli.advice:advice", "What to do first, and what each step would save"),
        "whatif": ("pipeline.cli.whatif:whatif", "What flips if a price, a rate, GPUs or traffic were others"),
        "backtest": ("pipeline.cli.backtest:backtest", "What your rule would have cost on your own days"),
        "measure": ("pipeline.cli.measure:measure", "What a replica sustains within a service level"),
    },
    "The month": {
        "report": ("pipeline.cli.report:report", "Spend, unit costs, waste, verdicts, reconciliation"),
        "close": ("pipeline.cli.close.command:close", "Tie every invoice to its lines, and close the month"),
        "accrue": ("pipeline.cli.accrue:accrue", "What is owed and on no bill yet, as a journal"),
        "export": ("pipeline.cli.export:export", "Every bill in FOCUS's columns"),
        "amend": ("pipeline.cli.amend:amend", "Correct the past by what breakeven.yaml says now"),
    },
    "What landed": {
        "quarantine": ("pipeline.cli.events:quarantine", "What is kept and not counted, and why"),
        "dismiss": ("pipeline.cli.events:dismiss", "Stop listing a quarantined file"),
        "accept": ("pipeline.cli.events:accept", "A bucket that had rows has none: let decisions use it so"),
        "landing": ("pipeline.cli.landing:landing", "Take out bytes that must not stay"),
        "collect": ("pipeline.cli.collect:collect", "Delete snapshots and cached files that nothing needs"),
        "rebuild": ("pipeline.cli.run:rebuild", "Build everything again from landing; sends nothing"),
    },
    "Setup": {
        "agent": ("pipeline.cli.agent:agent", "On a GPU host: sample its GPUs, scrape its engines, ship"),
        "policy": ("pipeline.cli.policy:policy", "The least that a role must be allowed"),
        "config": ("pipeline.cli.config:config", "What breakeven.yaml may say"),
        "completion": ("pipeline.cli.completion:completion", "Completion of commands and options in your shell"),
    },
}
_IN_EVERY_FULL_INSTALL = "duckdb"
_COMMANDS = {name: where for section in _SECTIONS.values() for name, (where, _) in section.items()}


class _LazyGroup(click.Group):
    """Commands are imported when asked for; a missing optional dependency is named, not traced."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise MissingExtraError(command=cmd_name, module=error.name or "?") from None
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What each command does; what this installation lacks for one, and still the others."""
        column = max(map(len, _COMMANDS))
        for heading, section in _SECTIONS.items():
            rows = [(name.ljust(column), self._said(ctx, name, does)) for name, (_, does) in section.items()]
            with formatter.section(heading):
                formatter.write_dl(rows)

    def _said(self, ctx: click.Context, name: str, does: str) -> str:
        if find_spec(_IN_EVERY_FULL_INSTALL) is None:
            try:
                self.get_command(ctx, name)
            except MissingExtraError:
                return "(needs: pip install 'breakeven[all]')"
        return does

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """By name alone: to show what each does, all of them would have to be imported at every key."""
        names = [CompletionItem(name) for name in _COMMANDS if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"{error.message}{hint}", ctx=ctx) from None


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="breakeven")
def group() -> None:
    """What every LLM token really cost, what idle GPUs wasted, and when it is cheaper to fill, release, switch or buy.

    \b
    Your own numbers, in minutes:    breakeven check --engine URL --gpu-hour 2.69   (or --bill FILE...)
    First look, on generated data:   breakeven demo
    Your own data:                   breakeven init                     (finds what is there, writes breakeven.yaml)
    Something looks wrong:           breakeven doctor                   (keys, inboxes, landing; what to fix next)

    \b
    Exit codes: 0 done · 1 refused or failed · 2 wrong call or configuration · 3 a source failed
                4 landing is damaged or full · 5 a build failed
    """


def main() -> None:
    """Entry point: errors made to be read are printed in one line, with an exit code that means something."""
    try:
        group.main(prog_name="breakeven", standalone_mode=False)
    except BreakevenError as error:
        click.echo(f"breakeven: {printable(str(error))}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        _say_stopped()
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if _says_interrupted(error):
            _say_stopped()
        said = _said_of_the_disk(error)
        if said is None:
            raise
        click.echo(printable(f"breakeven: {said}"), err=True)
        sys.exit(LandingError.exit_code)


def _say_stopped() -> NoReturn:
    click.echo("breakeven: stopped. What was landed stays; run again to go on.", err=True)
    sys.exit(130)


def _says_interrupted(error: Exception) -> bool:
    """What Ctrl-C becomes inside DuckDB, by its words and its name: a small install has no DuckDB to import."""
    is_of_query = isinstance(error, RuntimeError) and str(error) == "Query interrupted"
    return is_of_query or type(error).__name__ == "InterruptException"


def _said_of_the_disk(error: Exception) -> str | None:
    """What to do about a disk that is full, or a file that may not be written or read. None: it is something else."""
    if _says_disk_is_full(error):
        return (
            "no space left on the disk. What was landed stays and nothing counts twice: free some space and run again."
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and error.filename:
        return (
            f"{error.filename}: {error.strerror}. What was landed stays and nothing counts twice: give the user that "
            "runs this that permission and run again."
        )
    return None


def _says_disk_is_full(error: Exception) -> bool:
    """As the operating system says it, or as a library that lost the number repeats it."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in full
    return any(f"os error {number})" in str(error) for number in full)
