"""`breakeven ...`: thin commands that call what Dagster calls."""

import errno
import importlib
import sys
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from pipeline import __version__
from pipeline.errors import BreakevenError, LandingError, MissingExtraError
from pipeline.formats.writing import printable

# name -> where it is; imported only when called, so that an agent's small install can still say `--help`.
_COMMANDS = {
    "check": "pipeline.cli.check:check",
    "agent": "pipeline.cli.agent:agent",
    "demo": "pipeline.cli.run:demo",
    "init": "pipeline.cli.init:init",
    "run": "pipeline.cli.run:run",
    "rebuild": "pipeline.cli.run:rebuild",
    "status": "pipeline.cli.show:status",
    "doctor": "pipeline.cli.doctor:doctor",
    "policy": "pipeline.cli.policy:policy",
    "costs": "pipeline.cli.show:costs",
    "owners": "pipeline.cli.owners:owners",
    "waste": "pipeline.cli.show:waste",
    "verdict": "pipeline.cli.show:verdict",
    "whatif": "pipeline.cli.whatif:whatif",
    "backtest": "pipeline.cli.backtest:backtest",
    "prices": "pipeline.cli.prices:prices",
    "rating": "pipeline.cli.rating:rating",
    "advice": "pipeline.cli.advice:advice",
    "measure": "pipeline.cli.measure:measure",
    "explain": "pipeline.cli.explain:explain",
    "sql": "pipeline.cli.show:sql",
    "amend": "pipeline.cli.amend:amend",
    "quarantine": "pipeline.cli.events:quarantine",
    "accept": "pipeline.cli.events:accept",
    "dismiss": "pipeline.cli.events:dismiss",
    "alerts": "pipeline.cli.alerts:alerts",
    "ack": "pipeline.cli.events:ack",
    "snooze": "pipeline.cli.events:snooze",
    "close": "pipeline.cli.close.command:close",
    "accrue": "pipeline.cli.accrue:accrue",
    "report": "pipeline.cli.report:report",
    "explore": "pipeline.cli.explore:explore",
    "export": "pipeline.cli.export:export",
    "landing": "pipeline.cli.landing:landing",
    "collect": "pipeline.cli.collect:collect",
    "ui": "pipeline.cli.ui:ui",
    "config": "pipeline.cli.config:config",
    "completion": "pipeline.cli.completion:completion",
}

_LONGEST_NAME = max(map(len, _COMMANDS))


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
        rows = []
        for name in self.list_commands(ctx):
            try:
                command = self.get_command(ctx, name)
                said = "" if command is None else command.get_short_help_str(limit=formatter.width - 6 - _LONGEST_NAME)
            except MissingExtraError:
                said = "(needs: pip install 'breakeven[all]')"
            rows.append((name, said))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

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
    Your own numbers, in minutes:    breakeven check --vllm URL --gpu-hour 2.69     (or --bill FILE...)
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
