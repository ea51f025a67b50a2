"""`completion`: what a shell needs to complete commands and options."""

import click
from click.shell_completion import get_completion_class

PROGRAM = "breakeven"
# As click names it where it is asked: by the program's name.
_VARIABLE = "_BREAKEVEN_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """What to give to a shell so that it completes commands and options. bash: 4.4 or newer.

    \b
    Examples:
      breakeven completion bash > ~/.local/share/bash-completion/completions/breakeven
      breakeven completion zsh > ~/.zfunc/_breakeven
      breakeven completion fish > ~/.config/fish/completions/breakeven.fish
    """
    speaks = get_completion_class(shell)
    assert speaks is not None, "click ships these three"
    click.echo(speaks(context.find_root().command, {}, PROGRAM, _VARIABLE).source())
