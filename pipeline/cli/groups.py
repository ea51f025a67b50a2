"""Groups of commands, as `--help` lists them."""

import click


class WholeSentences(click.Group):
    """What each command does, in a sentence that wraps where click cuts it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The section Commands."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, _sentence(command)) for name, command in named if command is not None])


def _sentence(command: click.Command) -> str:
    return command.get_short_help_str(limit=len(command.help or "") + 1)
