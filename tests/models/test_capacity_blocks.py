"""Capacity blocks of AWS's: billed when bought, and a cost of the time that they last, as breakeven.yaml says."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.runner import Model
from pipeline.config.file import parse_config
from pipeline.config.landed import landed_config
from pipeline.doctor.figures import block_findings
from pipeline.economics.accrual import rounded_once
from pipeline.errors import ConfigError
from pipeline.reports.questions import Questions
from tests.models.cloud_harness import broken, broken_laws, cloud_graph
from tests.pipeline.small_project import Answers
from tests.sources.cur2 import NAME, FolderPlace, Line, company, line, parquet, refresh, usage

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
RESERVATION = "cr-0a1b2c3d4e5f60718"
ARN = f"arn:aws:ec2:us-east-1:444455556666:capacity-reservation/{RESERVATION}"
BLOCK = {
    "account": "aws", "reservation": RESERVATION, "from": "2026-10-27T11:30:00Z", "to": "2026-11-10T11:30:00Z",
}  # fmt: skip
CHECKS = ("check_cloud_money_conserved", "check_cloud_book_of_record", "check_cloud_blocks_conserved")
DAYS = "int_capacity_block_days"


def fee(cost: float = 13214.88, **fields: Any) -> dict[str, Any]:
    """A block is paid when it is bought: a line of a fee, on an invoice of its own, that states no period of use."""
    said = {
        "bill_invoice_id": "9001",
        "line_item_resource_id": None,
        "capacity_reservation_capacity_reservation_arn": ARN,
        "line_item_usage_type": "USE1-CapacityBlock:p5.48xlarge",
        "line_item_usage_start_date": "2026-10-20T09:00:00Z",
        "line_item_usage_end_date": "2026-10-20T10:00:00Z",
    }
    return usage("Fee", cost, **{**said, **fields})


def built(
    folder: Path, lines: Sequence[Line], *blocks: Any, now: datetime = NOW, replaced: Sequence[Model] = (), **more: Any
) -> Answers:
    refresh(FolderPlace(folder / NAME), [parquet(lines)], at=datetime(2026, 10, 25, 4, tzinfo=UTC))
    acme = company(folder, NAME)
    acme.small.configure(capacity_blocks=list(blocks), **more)
    assert acme.fetch(now=now).error is None
    targets = ("fct_cloud_charges_daily", "int_billed_lines_daily", "int_gpu_charges_daily", *CHECKS)
    return acme.small.build(now=now, graph=cloud_graph(targets, replaced=replaced))


def months(answers: Answers, column: str, where: str = "true") -> dict[int, Fraction]:
    """What a measure comes to in each month."""
    rows = answers.rows(
        f"select month(usage_date) as month, sum({column}) as amount from fct_cloud_charges_daily "
        f"where is_book and {where} group by all order by all"
    )
    return {row["month"]: Fraction(row["amount"]) for row in rows}


def test_a_block_of_a_cur_is_billed_when_bought_and_costs_while_it_lasts(tmp_path: Path) -> None:
    """Case 14: bought in October for 13,214.88: 4,267.31 of it are October's cost and 8,947.57 November's. B20."""
    answers = built(tmp_path, [fee(), line(0.1)], BLOCK)
    assert broken_laws(answers, CHECKS) == []
    assert months(answers, "billed_cost") == {10: Fraction("13214.98"), 11: 0}
    effective = months(answers, "effective_cost", f"resource_id = '{ARN}'")
    assert rounded_once(list(effective.values()), digits=2) == [4_267_31, 8_947_57]
    assert sum(effective.values()) == Fraction("13214.88")
    assert answers.one(f"select count(*) from {DAYS}") == 15
    # No invoice knows of these days: what closes the month has two charges of October.
    billed = answers.rows("select usage_date, in_scope_cost + out_of_scope_cost as cost from int_billed_lines_daily")
    assert sorted((row["usage_date"], row["cost"]) for row in billed) == [
        (date(2026, 10, 2), Decimal("0.1")), (date(2026, 10, 20), Decimal("13214.88")),
    ]  # fmt: skip


def test_without_a_declared_period_a_fee_costs_what_it_is_when_it_is_billed(tmp_path: Path) -> None:
    answers = built(tmp_path, [fee(), line(0.1)])
    assert months(answers, "effective_cost") == {10: Fraction("13214.98")}
    assert broken_laws(answers, CHECKS) == []


@pytest.mark.parametrize(
    ("said", "line_said"),
    [
        ({"reservation": ARN}, {}),
        ({"reservation": None, "invoice": "9001"}, {"capacity_reservation_capacity_reservation_arn": None}),
        ({"invoice": "9001"}, {}),
        ({}, {"line_item_resource_id": RESERVATION, "capacity_reservation_capacity_reservation_arn": None}),
    ],
    ids=["by its ARN", "by its invoice", "by both", "by the resource's id"],
)
def test_a_fee_is_found_by_its_reservation_or_its_invoice(
    tmp_path: Path, said: dict[str, Any], line_said: dict[str, Any]
) -> None:
    block = {name: value for name, value in {**BLOCK, **said}.items() if value is not None}
    answers = built(tmp_path, [fee(**line_said), line(0.1, bill_invoice_id="1")], block)
    effective = months(answers, "effective_cost", "charge_category = 'Usage' and pricing_category = 'Committed'")
    assert sum(effective.values()) == Fraction("13214.88")
    assert broken_laws(answers, CHECKS) == []


def test_days_that_are_to_come_show_when_they_come(tmp_path: Path) -> None:
    answers = built(tmp_path, [fee(), line(0.1)], BLOCK, now=datetime(2026, 10, 28, 6, tzinfo=UTC))
    assert sum(months(answers, "effective_cost", f"resource_id = '{ARN}'").values()) == Fraction("13214.88") * 73 / 672
    assert broken_laws(answers, CHECKS) == []


@pytest.mark.parametrize("year", ["2025", "2028"])
def test_a_period_of_another_year_takes_no_cost_away(tmp_path: Path, year: str) -> None:
    """A slip: on days before all that are known, or years to come, nobody would see what the block cost."""
    slip = {**BLOCK, "from": f"{year}-10-27T11:30:00Z", "to": f"{year}-11-10T11:30:00Z"}
    answers = built(tmp_path, [fee(), line(0.1)], slip)
    assert sum(months(answers, "effective_cost").values()) == Fraction("13214.98")
    assert broken_laws(answers, CHECKS) == []
    assert findings(tmp_path / "said", slip)[0] == (
        f"note: capacity block {RESERVATION} of aws: no fee on its bills is its, so nothing is spread"
    )


def test_a_block_that_is_a_gpu_resource_is_gpu_cost_of_its_days_and_hours(tmp_path: Path) -> None:
    """8 GPUs for 336 hours; the fee itself is in no GPU table, as the fee of a savings plan is not."""
    resource = {"issuer": "aws", "resource_id": ARN, "host": "node-1", "gpu_count": 8, "from": "2026-10-01"}
    answers = built(tmp_path, [fee(), line(0.1)], BLOCK, gpu_resources=[resource])
    (found,) = answers.rows(
        "select cost_measure, sum(realized_cost) as cost, sum(gpu_milliseconds) as gpu_ms from int_gpu_charges_daily "
        "where is_gpu_charge group by all"
    )
    assert found == {"cost_measure": "effective", "cost": Decimal("13214.88"), "gpu_ms": 8 * 336 * 3_600_000}
    assert broken_laws(answers, CHECKS) == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (DAYS, "when ranked.quanta_rank <= ranked.leftover_quanta then 1", "when false then 1"),
        (DAYS, "(day_number + 1) * 86400000)", "day_number * 86400000 + 1)"),
        ("int_cloud_charges_daily", "when spread_fees.fee_key is null then", "when true then"),
    ],
)
def test_a_block_whose_days_are_not_its_fee_breaks_a_law(tmp_path: Path, name: str, old: str, new: str) -> None:
    answers = built(tmp_path, [fee(1.0), line(0.1)], BLOCK, replaced=[broken(name, old, new)])
    assert broken_laws(answers, CHECKS) != []


@settings(max_examples=5)
@given(
    cost=st.integers(-(10**15), 10**15).filter(bool),
    starts=st.integers(0, 20 * 86400),
    lasts=st.integers(1, 60 * 86400),
)
def test_the_days_of_any_block_are_its_seconds_share_and_sum_to_its_fee(
    tmp_path_factory: Any, cost: int, starts: int, lasts: int
) -> None:
    """Each day is within a quantum of the share of its seconds; a credit mirrors its fee."""
    begins = datetime(2026, 10, 20, tzinfo=UTC) + timedelta(seconds=starts)
    ends = begins + timedelta(seconds=lasts)
    block = {**BLOCK, "from": begins.isoformat(), "to": ends.isoformat()}
    amount = cost / 10**9
    lines = [fee(amount), line(0.1)]
    answers = built(tmp_path_factory.mktemp("any"), lines, block, now=datetime(2027, 1, 20, tzinfo=UTC))
    assert broken_laws(answers, CHECKS) == []
    rows = answers.rows(f"select usage_date, block_milliseconds, block_cost from {DAYS} order by all")
    exact = Fraction(Decimal(str(amount)))
    assert sum(Fraction(row["block_cost"]) for row in rows) == exact
    assert sum(row["block_milliseconds"] for row in rows) == lasts * 1000
    for row in rows:
        share = exact * row["block_milliseconds"] / (lasts * 1000)
        assert abs(Fraction(row["block_cost"]) - share) < Fraction(1, 10**18)


def findings(folder: Path, *blocks: Any, lines: Sequence[Line] = ()) -> list[str]:
    answers = built(folder, [fee(), *lines], *blocks)
    config = parse_config((folder / "breakeven.yaml").read_text())
    with Questions(answers.result.snapshot) as questions:
        return [f"{one.state}: {one.said}" for one in block_findings(questions, config, to_date=NOW.date())]


def test_doctor_says_which_block_has_no_fee_and_which_fee_has_no_block(tmp_path: Path) -> None:
    assert findings(tmp_path / "one", BLOCK) == ["ok: of 1 capacity block each has its fee on a bill"]
    assert findings(tmp_path / "none", {**BLOCK, "reservation": "cr-ffff"}) == [
        "note: capacity block cr-ffff of aws: no fee on its bills is its, so nothing is spread",
        f"note: {ARN} of aws: its fee of $13,214.88 on invoice 9001 is all a cost of 2026-10-20, when it was bought",
    ]
    # Only the bill tells that these two are one.
    by_invoice = {**{key: value for key, value in BLOCK.items() if key != "reservation"}, "invoice": "9001"}
    assert findings(tmp_path / "two", BLOCK, by_invoice) == [
        f"note: capacity block {name} of aws: 1 fee could be another declared block's too, and is not spread"
        for name in (RESERVATION, "invoice 9001")
    ]


def test_doctor_says_what_else_an_invoice_has_that_is_spread_with_a_blocks_fee(tmp_path: Path) -> None:
    """Which fee is the block's, its reservation says; a refund of the fee is its too."""
    by_invoice = {**{key: value for key, value in BLOCK.items() if key != "reservation"}, "invoice": "9001"}
    domain = {"line_item_product_code": "AmazonRoute53", "line_item_usage_type": "Domain"}
    other = fee(12.0, capacity_reservation_capacity_reservation_arn=None, **domain)
    assert findings(tmp_path / "two", by_invoice, lines=[other]) == [
        "note: capacity block invoice 9001 of aws: fees of 2 kinds are on it, and all are spread: "
        "AmazonEC2, USE1-CapacityBlock:p5.48xlarge; AmazonRoute53, Domain"
    ]
    said = ["ok: of 1 capacity block each has its fee on a bill"]
    assert findings(tmp_path / "said", {**BLOCK, "invoice": "9001"}, lines=[other]) == said
    assert findings(tmp_path / "refund", by_invoice, lines=[fee(-500.0, bill_bill_type="Refund")]) == said


def declared(*blocks: Any) -> str:
    said = "\n".join(f"  - {{{', '.join(f'{key}: {value}' for key, value in one.items())}}}" for one in blocks)
    return f"company: acme\nsources:\n  - {{source: aws_cur2, account: aws}}\ncapacity_blocks:\n{said}\n"


def test_what_is_declared_is_landed_as_it_was_said() -> None:
    """YAML reads a moment by itself; an offset is the same moment; what is landed reads back as itself."""
    config = parse_config(declared({**BLOCK, "from": "2026-10-27T13:30:00+02:00"}))
    (block,) = config.capacity_blocks
    assert block.starts_at == datetime(2026, 10, 27, 11, 30, tzinfo=UTC)
    assert landed_config(config.model_dump(mode="json", by_alias=True)).config == config


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ([{**BLOCK, "from": "2026-10-27"}], "with its offset"),
        ([{**BLOCK, "from": "2026-10-27T11:30:00"}], "with its offset"),
        ([{**BLOCK, "from": "soon"}], "isoformat"),
        ([{**BLOCK, "to": "2026-10-27T11:30:00Z"}], "after `from`"),
        ([{**BLOCK, "to": "2036-10-27T11:30:00Z"}], "by a year or less"),
        ([{key: BLOCK[key] for key in ("account", "reservation", "from")}], "required"),
        ([{key: BLOCK[key] for key in ("account", "from", "to")}], "which fee is its"),
        ([{**BLOCK, "account": "azure"}], "No source is of that account"),
        ([BLOCK, BLOCK], "entry 0 too"),
        ([BLOCK, {**BLOCK, "invoice": "9001"}], "entry 0 too"),
        ([{**BLOCK, "invoice": "9000"}, {**BLOCK, "invoice": "9001"}], "overlaps entry 0"),
    ],
)
def test_a_block_that_cannot_be_one_is_refused(blocks: list[Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(declared(*blocks))
    assert said in str(refused.value)
    assert str(refused.value).startswith("breakeven.yaml: capacity_blocks")


def test_an_extension_is_a_second_block_of_its_reservation() -> None:
    """Each by its own invoice, one after the other."""
    more = {**BLOCK, "invoice": "9002", "from": BLOCK["to"], "to": "2026-11-17T11:30:00Z"}
    assert len(parse_config(declared({**BLOCK, "invoice": "9001"}, more)).capacity_blocks) == 2
