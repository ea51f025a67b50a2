"""`config`: what breakeven.yaml may say, for editors."""

import json
from pathlib import Path

import click

from pipeline.cli.groups import WholeSentences
from pipeline.config.schema import SCHEMA_COMMENT, config_schema
from pipeline.sources import SOURCES


@click.group(cls=WholeSentences)
def config() -> None:
    """What breakeven.yaml may say.

    \b
    Example:
      breakeven config schema --output .breakeven.schema.json
    """


@config.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write it here, beside breakeven.yaml. [default: print it]",
)
def schema(output: Path | None) -> None:
    """The JSON Schema of breakeven.yaml: an editor then completes its keys and marks what no key is called.

    Editors with the YAML language server read the path in breakeven.yaml's first line, as `breakeven init` writes it.

    \b
    Examples:
      breakeven config schema
      breakeven config schema --output .breakeven.schema.json
    """
    text = json.dumps(config_schema(source.name for source in SOURCES), indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    click.echo(f"{output} is written. First line of breakeven.yaml, if it is not there: {SCHEMA_COMMENT}", err=True)
