"""Business drivers as somebody writes them: read as they stand, or refused with their row."""

import pytest

from pipeline.errors import QuarantineError
from pipeline.sources.drivers_csv import parse
from pipeline.sources.recognise import recognise_bytes

HEADER = "date,driver,value,per,team,workload,note\n"


def values(*rows: str) -> list[tuple[object, ...]]:
    content = "".join((HEADER, *(f"{row}\n" for row in rows))).encode()
    frame = parse(content, {"file": "2026"})["drivers"]
    return [tuple(row.values()) for row in frame.to_dicts()]


def test_every_value_is_kept_as_it_is_spelled() -> None:
    found = values("2026-11-03,tasks,1840.50,,support,,from the queue", "2026-11-01,customers,412,month,,chat,")
    assert [row[2:7] for row in found] == [
        ("tasks", "1840.50", "day", "support", None),
        ("customers", "412", "month", None, "chat"),
    ]
    assert found[0][7] == '{"note": "from the queue"}'
    assert recognise_bytes("drivers.csv", HEADER.encode())


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("3.11.2026,tasks,1,,,,", "row 2: date is '3.11.2026'"),
        ("2026-11-03,,1,,,,", "row 2: driver is ''"),
        ("2026-11-03,tasks,many,,,,", "row 2: value is 'many'"),
        ("2026-11-03,tasks,-1,,,,", "row 2: value is -1, below 0"),
        ("2026-11-03,tasks,99999999999999999999,,,,", "row 2: value is 99999999999999999999, above 1000000000000000"),
        (f"2026-11-03,tasks,1,,{'t' * 201},,", "row 2: team has 201 characters"),
        (f"2026-11-03,tasks,1,,,{'w' * 201},", "row 2: workload has 201 characters"),
        ("2026-11-03,tasks,1,week,,,", "row 2: per is 'week'. It is day or month"),
        ("2026-11-03,tasks,1,,a,b,", "row 2: it has a team and a workload"),
        ("2026-11-03,tasks,1,,,,\n2026-11-03,tasks,2,,,,", "row 3: a second value of tasks for this day"),
        ("2026-11-03,tasks,1,month,,,\n2026-11-09,tasks,2,month,,,", "row 3: a second value of tasks for this month"),
    ],
)
def test_a_value_that_cannot_be_so_is_refused_with_its_row(row: str, words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        values(row)


def test_an_empty_file_takes_nothing_back() -> None:
    with pytest.raises(QuarantineError, match="It has no values"):
        values()
