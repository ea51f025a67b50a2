"""One file that knows what readers found: it saves opening thousands of small ones, and decides nothing."""

from pathlib import Path

import pytest

from pipeline.build import parsed as parsing
from tests.build.small_graph import SmallProject, noon

DAYS = ("2026-10-10", "2026-10-11", "2026-11-01")


def land(project: SmallProject, day: str, amount: str, *, stated: str = "2026-11-05") -> None:
    following = f"{day[:-2]}{int(day[-2:]) + 1:02d}"
    project.land_costs([(day, "a", amount)], days=(day, following), stated=noon(stated))


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    """Built twice: what was read by the first build is known to the second."""
    made = SmallProject(tmp_path)
    for number, day in enumerate(DAYS):
        land(made, day, str(number + 1))
    made.build("2026-11-15")
    made.build("2026-11-16")
    return made


def known_file(project: SmallProject) -> Path:
    return project.paths.cache / "parsed" / "known.jsonl"


def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Indexes that are opened one by one from now on."""
    found: list[Path] = []
    read = parsing._read_index
    monkeypatch.setattr(parsing, "_read_index", lambda file, landed: (found.append(file), read(file, landed))[1])
    return found


def test_what_is_known_is_not_opened_again(project, monkeypatch):
    before = opened(monkeypatch)
    land(project, "2026-11-02", "7")
    result = project.build("2026-11-17")
    assert before == []
    assert result.ran["stg_costs"] == ["2026-11-02"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"parts"', '"parties"'),
        lambda text: text.replace("\t", " "),
        lambda text: "\x00" * 40,
        lambda text: text + text[:30],
    ],
    ids=["emptied", "cut", "altered", "without its marks", "zeroes", "a line begun"],
)
def test_damaged_it_costs_time_and_no_figure(project, damage):
    """B9: the small files are what is true of an object; this one is worth no more than the time it saves."""
    file = known_file(project)
    file.write_text(damage(file.read_text()))
    land(project, "2026-11-02", "7")
    built = project.build("2026-11-17")
    whole = project.build("2026-11-17", state=project.paths.root.parent / "elsewhere")
    assert project.rows(built, "stg_costs") == project.rows(whole, "stg_costs")
    assert built.snapshot.snapshot_id == whole.snapshot.snapshot_id


def test_what_is_gone_from_the_cache_is_read_again_whatever_is_known(project):
    for index in sorted((project.paths.cache / "parsed").rglob("parsed.json")):
        for file in index.parent.iterdir():
            file.unlink()
    land(project, "2026-10-10", "5", stated="2026-11-06")
    built = project.build("2026-11-17")
    whole = project.build("2026-11-17", state=project.paths.root.parent / "elsewhere")
    assert project.rows(built, "stg_costs") == project.rows(whole, "stg_costs")


def test_it_forgets_what_no_reader_asks_for(project, monkeypatch):
    """A reader that changed asks under other names: what it found before goes, once that is most of the file."""
    monkeypatch.setattr("pipeline.build.known._MOST_UNUSED", 2)
    file = known_file(project)
    line = file.read_text().strip().splitlines()[0]
    file.write_text(file.read_text() + "".join(f"{number}{line[1:]}\n" for number in range(4)))
    land(project, "2026-11-02", "7")
    project.build("2026-11-17")
    assert len([line for line in file.read_text().splitlines() if line]) == len(DAYS)
