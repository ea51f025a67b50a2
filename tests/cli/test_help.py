"""Help that can be followed, completion in a real shell, and output that behaves where it is not a terminal."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.cli.options import console, print_table
from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import CONSOLE, CONSOLE_NAME, NOW, source, three_days

_EXAMPLE = re.compile(r"^\s*breakeven( .*)$", re.MULTILINE)
# What explains an example, where it goes, and what a shell would make of it.
_NOT_WORDS = re.compile(r" {2,}.*| [>|] .*")


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command there is, the groups too."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, (*words, name))


def examples_of(command: click.Command) -> list[list[str]]:
    """The words of each example, without the program's name."""
    (section,) = re.findall(r"^ *Examples?:\n((?: +.*\n?)+)", (command.help or "").replace("\b", ""), re.MULTILINE)
    return [shlex.split(_NOT_WORDS.sub("", found)) for found in _EXAMPLE.findall(section)]


def parse(words: Sequence[str]) -> str:
    """The command that these words call, which is not called. Raises click's own error where they are wrong."""
    name, command, rest, context = "breakeven", group, list(words), None
    while True:
        context = command.make_context(name, list(rest), parent=context)
        if not isinstance(command, click.Group):
            return context.command_path
        left = [*context._protected_args, *context.args]
        if not left and context.command.invoke_without_command:
            return context.command_path
        name, command, rest = command.resolve_command(context, left)
        assert name is not None


ALL = [found for found in commands(group) if found[0]]


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_every_command_has_examples_and_each_can_be_called(words: tuple[str, ...], command: click.Command) -> None:
    found = examples_of(command)
    assert found != []
    for example in found:
        path = parse(example)
        assert path == " ".join(("breakeven", *words)) or isinstance(command, click.Group), example
    assert command.short_help or command.help


def test_a_small_installation_still_says_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base install is what a GPU host needs: most commands lack their libraries there."""
    import importlib

    imported = importlib.import_module

    def without_duckdb(name: str) -> object:
        if name == "pipeline.cli.show":
            raise ModuleNotFoundError("No module named 'duckdb'", name="duckdb")
        return imported(name)

    monkeypatch.setattr("pipeline.cli.importlib.import_module", without_duckdb)
    monkeypatch.setattr("pipeline.cli.find_spec", lambda name: None)
    done = CliRunner().invoke(group, ["--help"])
    assert done.exit_code == 0, done.output
    assert re.search(r"^  costs +\(needs: pip install 'breakeven\[all\]'\)$", done.output, re.MULTILINE)
    assert re.search(r"^  policy +The least that a role must be allowed", done.output, re.MULTILINE)
    asked = CliRunner().invoke(group, ["costs"])
    assert "needs the Python module 'duckdb'" in str(asked.exception)


def test_the_list_of_commands_is_whole_lines_and_is_there_at_once() -> None:
    """Eighty columns, a line a command, each command once; and no command's libraries are waited for."""
    program = "import sys; from pipeline.cli import main\ntry: main()\nfinally: print('duckdb' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    *lines, has_imported = done.stdout.splitlines()
    assert has_imported == "False"
    listed = [line.split()[0] for line in lines[lines.index("First look:") :] if line.startswith("  ")]
    assert sorted(listed) == sorted(group.list_commands(click.Context(group)))
    assert [line for line in lines[1:] if line.endswith("...")] == []


def test_a_group_says_what_its_commands_do_in_whole_sentences() -> None:
    for words, command in ALL:
        if isinstance(command, click.Group):
            said = CliRunner().invoke(group, [*words, "--help"]).output
            assert [line for line in said.splitlines()[1:] if line.endswith("...")] == [], words


def test_an_example_that_cannot_be_called_is_noticed() -> None:
    for wrong in (
        ["costs", "--form"],
        ["verdict", "chat"],
        ["explain", "costs"],
        ["snooze"],
        ["costs", "--format", "x"],
    ):
        with pytest.raises(click.UsageError):
            parse(wrong)


@pytest.mark.parametrize(
    ("words", "expected"),
    [("breakeven do", "doctor"), ("breakeven explain ve", "verdict"), ("breakeven costs --fo", "--format"),
     ("breakeven costs --format j", "json")],
)  # fmt: skip
def test_bash_completes_commands_options_and_values(words: str, expected: str) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    programs = Path(sys.executable).parent
    typed = words.split()
    script = (
        f'PATH="{programs}:$PATH"; source <(breakeven completion bash); COMP_WORDS=({words}); '
        f'COMP_CWORD={len(typed) - 1}; _breakeven_completion breakeven; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [expected], done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_what_click_writes_for_them(shell: str) -> None:
    told = CliRunner().invoke(group, ["completion", shell]).output
    assert f"_BREAKEVEN_COMPLETE={shell}_complete" in told


def test_in_a_pipe_there_is_no_colour_no_blank_at_an_end_and_one_width(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TERM", "xterm-256color"), ("COLORTERM", "truecolor"), ("COLUMNS", "43")):
        monkeypatch.setenv(name, value)
    made = make_project([source(CONSOLE, "acme"), source("invoice_csv", "a-rather-long-name-of-a-gpu-provider-inc")])
    made.drop(CONSOLE, "acme", CONSOLE_NAME, three_days("1.00", "2.00", "3.00"))
    made.drop(CONSOLE, "acme", "holiday.png", b"no export")
    made.run()
    from pipeline.decisions.graph import build_project

    build_project(made.project, as_of=NOW)
    for command in ("costs", "waste", "verdict", "status", "doctor", "sql", "quarantine"):
        told = CliRunner().invoke(group, [command, "--project", str(made.folder)]).output
        assert told.strip() != "", command
        assert "\x1b" not in told, command
        assert [line for line in told.splitlines() if line != line.rstrip()] == [], command
        tables = [line for line in told.splitlines() if line[:1] in "│┃┏┡├└"]
        assert max(map(len, tables), default=0) <= 140, command
        if command == "status":
            # A sentence is a line, for whoever looks for it.
            assert re.search("^QUARANTINE .*holiday.png.*add the line end.$", told, re.MULTILINE)


def test_on_a_terminal_there_is_colour_unless_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert console().color_system is not None
    monkeypatch.setenv("NO_COLOR", "1")
    assert console().no_color
    monkeypatch.setenv("TERM", "dumb")
    assert console().color_system is None


@pytest.mark.parametrize("amount", ["2.00 CHF", ">\u22120.01 USD", "<0.01 USD", "\u2212€2.00", "—"])
def test_amounts_stand_right_however_small_and_in_whatever_currency(capsys, amount):
    print_table(["what", "cost"], [["a", "1,000,000.00 CHF"], ["b", amount]])
    assert capsys.readouterr().out.splitlines()[-2].endswith(f" {amount} │")
