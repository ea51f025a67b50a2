"""`breakeven check --bill`, as a person runs it: a process, files of strangers, an empty folder."""

import csv
import io
import json
import time

import pytest

from tests.check.calling import called
from tests.cli.test_check_engine import breakeven
from tests.pipeline.small_project import api_page, console_csv, console_row, cost_result, three_days

HOSTILE = "evil\x1b[2J\x1b]0;owned\x07\u202egnp"


def test_an_export_is_answered_in_seconds_and_nothing_is_left_behind(tmp_path) -> None:
    (tmp_path / "bill.csv").write_bytes(three_days("1.00", "2.00", "3.00"))
    started = time.monotonic()
    done = breakeven("check", "--bill", "bill.csv", "--gpu-hour", "2.69", folder=tmp_path)
    took = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert "total $6.00" in done.stdout
    assert took < 20
    assert [path.name for path in tmp_path.iterdir()] == ["bill.csv"]


def test_programs_get_exact_amounts_and_the_reason_of_each_file_that_was_not_read(tmp_path) -> None:
    (tmp_path / "bill.json").write_bytes(api_page({"2026-11-01": [cost_result("1691.3875")]}))
    (tmp_path / "note.txt").write_text("hello there\n")
    asked = ["check", "--bill", "bill.json", "note.txt"]
    done = called(*asked, "--format", "json", folder=tmp_path)
    table = called(*asked, "--format", "csv", folder=tmp_path)
    assert (done.returncode, table.returncode) == (1, 1)
    said = json.loads(done.stdout)
    assert said["files"][0]["totals"] == {"USD": "16.913875000000000000"}
    assert said["files"][0]["lines"][0]["class"] == "output"
    assert [one["file"] for one in said["unread"]] == ["note.txt"]
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    assert [(row["file"], row["amount"]) for row in rows] == [("bill.json", "16.913875000000000000"), ("note.txt", "")]
    assert rows[1]["problem"] != ""


def test_what_a_file_says_and_how_it_is_called_cannot_steer_a_terminal(tmp_path) -> None:
    row = console_row("2026-11-01", "1.00", model=HOSTILE)
    (tmp_path / f"{HOSTILE}.csv").write_bytes(console_csv([row]))
    (tmp_path / "two\ntotal $0.csv").write_bytes(console_csv([row]))
    (tmp_path / "header.csv").write_bytes(f"{HOSTILE},amount\nx,1\n".encode())
    (tmp_path / "value.csv").write_bytes(console_csv([console_row(HOSTILE, "1.00")]))
    names = [path.name for path in tmp_path.iterdir()]
    done = called("check", "--bill", *names, folder=tmp_path)
    assert done.returncode == 1
    assert "evil" in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("total $0")]
    for text in (done.stdout, done.stderr):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bill"], "--bill wants the files"),
        (["--bill", "a.csv", "--api", "gpt-5-mini"], "--api is for engines"),
        (["--bill", "a.csv", "--vllm", "http://x"], "--engine and --bill were given"),
        (["a.csv", "--vllm", "http://x"], "--bill says what an export says"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(tmp_path, arguments, words) -> None:
    done = called("check", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
