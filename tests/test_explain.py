"""Every explanation adds landed rows up to the published figure, exactly, and says where each row stands."""

import ast
import csv
import gzip
import io
import itertools
import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from pipeline.cli.explain import explain
from pipeline.cli.explained import as_json, print_explanation
from pipeline.decisions.graph import build_project, shipped_graph
from pipeline.demo import AS_OF, Truth, company
from pipeline.explain.api_costs import CostFigure, explain_cost
from pipeline.explain.evidence import Evidence, NothingToExplainError
from pipeline.explain.explanation import Equality, Explanation, Rows
from pipeline.explain.gpu_charges import booked_days, state_shares
from pipeline.explain.gpu_costs import WasteFigure, explain_waste
from pipeline.explain.invoices import explain_invoice
from pipeline.explain.plans import explain_plan
from pipeline.explain.releases import explain_fill, explain_release
from pipeline.explain.tokens import explain_tokens
from pipeline.explain.verdicts import explain_verdict
from pipeline.explain.weights import explain_weights
from pipeline.landing.project import Project
from pipeline.sources.ingest import ingest

_START, _END = date(2026, 10, 1), date(2026, 11, 15)
_DEPLOYMENTS = {"chat-llama": 4, "search-qwen": 4, "batch-gemma": 4, "triage-llama": 2}  # and their GPUs
# A restart, a gap in the scrapes, a duplicated and a torn file, and the last week.
_SPOOL_DAYS = [*range(19, 24), 33, 34, 36, *range(39, 46)]
_UNEVENTFUL = range(40, 45)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, generated_demo: tuple[Path, Truth]) -> Project:
    """The demo company with the telemetry of some of its days, built."""
    folder = tmp_path_factory.mktemp("explain") / "demo"
    shutil.copytree(generated_demo[0], folder)
    kept = {(_START + timedelta(days=day - 1)).isoformat() for day in _SPOOL_DAYS}
    for file in (folder / "inbox" / "nvml_spool").rglob("*.gz"):
        if not any(f"_{day}_" in file.name for day in kept):
            file.unlink()
    project = Project(folder)
    project.land_config(AS_OF)
    assert not [
        brought.error for brought in ingest(project, now=AS_OF, environment={}, sleep=_no_sleep) if brought.error
    ]
    build_project(project, as_of=AS_OF)
    return project


def _no_sleep(seconds: float) -> None:
    raise AssertionError("nothing here waits")


@pytest.fixture(scope="module")
def evidence(project: Project) -> Iterator[Evidence]:
    snapshot = build_project(project, as_of=AS_OF).snapshot
    datasets = shipped_graph().datasets
    with Evidence(snapshot, landing=project.landing, datasets=datasets, cache=project.paths.cache) as evidence:
        yield evidence


def _disagreeing(explanation: Explanation) -> list[Equality]:
    return [found for found in explanation.equalities if not found.holds]


def _call(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(explain, [*arguments, "--project", str(project.folder)])


def _records(explanation: Explanation, title: str) -> list[dict[str, Any]]:
    """The rows of the table whose title starts so."""
    tables = (*explanation.figures, *explanation.inputs, *explanation.objects)
    found = next(rows for rows in tables if rows.title.startswith(title))
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_the_laws_of_money_hold_over_all_that_the_files_charge(evidence: Evidence) -> None:
    """B7, B12: what was added up at reading is told by the marts; every bill of the demo is among it."""
    for law in ("check_api_money_conserved", "check_gpu_money_conserved"):
        assert evidence.select(f"from {law}") == []
    stated = evidence.select("select source, home, count(*) as n from landed_money group by all order by all")
    assert {(row["source"], row["home"]) for row in stated} >= {
        ("anthropic_cost_api", "api"),
        ("anthropic_console_csv", "api"),
        ("invoice_csv", "gpu"),
    }


@pytest.mark.parametrize(
    ("model", "measure"),
    [
        ("int_api_charges_daily", "billed_cost"),
        ("int_api_usage_daily", "tokens"),
        ("int_gpu_charges_daily", "realized_cost"),
    ],
)
def test_landed_rows_each_alone_come_to_what_the_build_made_of_all(
    evidence: Evidence, model: str, measure: str
) -> None:
    """B9, B12: a staging model whose rows meet, or that drops its account, could not be traced."""
    days = [_START + timedelta(days=number) for number in range((_END - _START).days)]
    evidence.trace_model(model, days)
    built, traced = (
        evidence.select(
            f"select usage_date, source, account, sum({measure}) as total from {table} "
            f"where usage_date < date '{_END}' group by all order by all"
        )
        for table in (model, f"traced_{model}")
    )
    assert built == traced
    assert len(built) > 40


# --- API costs -------------------------------------------------------------------------------------------------------


def test_every_api_cost_is_the_sum_of_its_bill_lines(evidence: Evidence) -> None:
    """B7, B12: each of all mart rows is recomputed from the vendor's own spelling; cents become dollars once."""
    explanation = explain_cost(evidence, CostFigure(from_date=_START, to_date=_END))
    assert not _disagreeing(explanation)
    rows = evidence.select("select count(*) as n, count(tokens) as t from fct_api_costs_daily")[0]
    assert len(_records(explanation, "fct_api_costs_daily")) == rows["n"]
    assert rows["t"] > 500


@pytest.mark.parametrize("narrowed", ["api_key_id", "workload", "token_class", "sub_account_id", "account"])
def test_any_cut_of_a_cell_is_its_exact_share(evidence: Evidence, narrowed: str) -> None:
    """B12: a figure that holds a part of a split charge still agrees, and the parts of a day sum to the day."""
    day = date(2026, 11, 10)
    option = {"api_key_id": "api_key", "sub_account_id": "sub_account"}.get(narrowed, narrowed)
    nothing = {"api_key_id": "'none'", "sub_account_id": "'Default'", "token_class": "charge_kind"}.get(narrowed, "''")
    values = evidence.select(
        f"select coalesce({narrowed}, {nothing}) as name, sum(billed_cost) as cost from fct_api_costs_daily "
        f"where usage_date = date '{day}' group by 1 order by 1"
    )
    assert len(values) > 1
    for row in values:
        figure = CostFigure(from_date=day, to_date=day + timedelta(days=1), **{option: row["name"]})
        explanation = explain_cost(evidence, figure)
        assert not _disagreeing(explanation)
        billed = [
            found["billed_cost"] for found in _records(explanation, "The figure") if found["token_class"] == "all"
        ]
        assert sum(billed, Decimal(0)) == (row["cost"] or 0)


def test_a_restated_day_is_traced_to_the_delivery_that_counts(evidence: Evidence) -> None:
    """B9, B10: the older export of the day is not among the objects."""
    day = company.RESTATED_DAY
    explanation = explain_cost(evidence, CostFigure(from_date=day, to_date=day + timedelta(days=1), account="demo-org"))
    files = {row["file"] for row in _records(explanation, "Bill lines")}
    assert files == {"cost_report_20261115T050000Z.json"}
    assert not _disagreeing(explanation)


def test_the_rows_named_stand_in_the_landed_bytes(evidence: Evidence, project: Project) -> None:
    """Reads the objects again, without our readers, at the places that the explanation names."""
    day = date(2026, 11, 10)
    explanation = explain_cost(evidence, CostFigure(from_date=day, to_date=day + timedelta(days=1)))
    total = Fraction(0)
    for row in _records(explanation, "Bill lines"):
        content = _bytes(project, row["sha256"])
        if row["file"].endswith(".csv"):
            line = list(csv.reader(io.StringIO(content.decode())))[int(row["where"].removeprefix("row ")) - 1]
            assert day.isoformat() in line
            total += Fraction(dict(zip(next(csv.reader(io.StringIO(content.decode()))), line, strict=True))["cost_usd"])
        else:
            page, bucket, result = (int(found) for found in re.findall(r"[0-9]+", row["where"]))
            pages = json.loads(content, parse_float=str)
            pages = pages if isinstance(pages, list) else [pages]
            stands = pages[page - 1]["data"][bucket - 1]
            amount = stands["results"][result - 1]["amount"]
            if row["file"].startswith("costs_"):  # OpenAI's: Unix seconds, and dollars as a binary float
                assert datetime.fromtimestamp(stands["start_time"], tz=UTC).date() == day
                assert amount["value"] == str(row["says"]["amount"]["value"])
                total += Fraction(round(Fraction(amount["value"]) * 10**18), 10**18)
                continue
            assert stands["starting_at"].startswith(day.isoformat())
            assert amount == row["says"]["amount"]
            total += Fraction(amount) / 100
    published = evidence.select(
        f"select sum(billed_cost) as c from fct_api_costs_daily where usage_date = date '{day}'"
    )
    assert total == Fraction(published[0]["c"])


def _bytes(project: Project, sha256: str) -> bytes:
    return (project.paths.landing / "objects" / sha256[:2] / sha256).read_bytes()


def test_the_console_is_asked_for_the_total_it_shows(evidence: Evidence) -> None:
    day = date(2026, 11, 10)
    figure = CostFigure(from_date=day, to_date=day + timedelta(days=1), model="claude-haiku-4-5", account="demo-org")
    explanation = explain_cost(evidence, figure)
    billed = Fraction(_records(explanation, "The figure")[-1]["billed_cost"])
    cents = Decimal(round(billed * 10**10)) / 10**8
    assert f"expect {float(billed):,.2f} USD" in explanation.outside_check[0]
    assert f"sum to {cents.normalize():f} cents" in explanation.outside_check[1]
    assert "ending_at=2026-11-11T00:00:00Z" in explanation.outside_check[1]


# --- GPU costs -------------------------------------------------------------------------------------------------------


def test_every_gpu_cost_is_its_share_of_invoice_lines_declarations_and_rates(evidence: Evidence) -> None:
    """B12, B13, B19, B25: all rows and states, the unobserved ones too, recomputed from what landed."""
    explanation = explain_waste(evidence, WasteFigure(from_date=_START, to_date=_END))
    assert not _disagreeing(explanation)
    count = evidence.select("select count(*) as n from fct_gpu_costs_daily where usage_date < date '2026-11-15'")[0][
        "n"
    ]
    assert len(_records(explanation, "fct_gpu_costs_daily")) == count
    assert {row["state"] for row in _records(explanation, "The figure")} >= {
        "serving",
        "loaded_idle",
        "unobserved",
        "tax",
    }


@pytest.mark.parametrize("deployment", _DEPLOYMENTS)
def test_a_state_of_a_day_is_traced_to_the_samples_of_its_host(evidence: Evidence, deployment: str) -> None:
    day = date(2026, 11, 10)
    for state in ("serving", "loaded_idle"):
        figure = WasteFigure(from_date=day, to_date=day + timedelta(days=1), deployment=deployment, state=state)
        explanation = explain_waste(evidence, figure)
        assert not _disagreeing(explanation)
        samples = _records(explanation, "Samples that prove")
        assert len(samples) == _DEPLOYMENTS[deployment]
        assert {row["samples"] for row in samples} == {288 if deployment == "triage-llama" else 1440}


def test_a_line_of_a_spool_file_is_the_line_named(evidence: Evidence, project: Project) -> None:
    day = date(2026, 11, 10)
    figure = WasteFigure(from_date=day, to_date=day + timedelta(days=1), deployment="chat-llama")
    for row in _records(explain_waste(evidence, figure), "Samples that prove"):
        lines = gzip.decompress(_bytes(project, row["sha256"])).split(b"\n")
        line = json.loads(lines[int(row["first_row"].removeprefix("line ")) - 1])
        assert (line["record"], line["gpu_uuid"]) == ("sample", row["gpu_uuid"])


def test_a_month_that_ends_mid_day_is_split_by_its_milliseconds() -> None:
    line = {"amount": "-0.10", "period_start": "2026-10-01T12:00:00Z", "period_end": "2026-10-03T06:00:00Z"}
    days = booked_days(line)
    assert [days[day].day_milliseconds // 3_600_000 for day in sorted(days)] == [12, 24, 6]
    assert sum(day.quanta for day in days.values()) == -(10**17)


def test_money_without_hours_is_a_credit_or_unobserved() -> None:
    """B13: no weights is no division by zero."""
    assert state_shares(-5, []) == {(None, "credit"): -5}
    assert state_shares(5, []) == {(None, "unobserved"): 5}


# --- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deployment", _DEPLOYMENTS)
def test_every_served_token_is_a_difference_of_landed_readings(evidence: Evidence, deployment: str) -> None:
    """B15, B16: restarts, gaps, duplicated and torn files included; each day's classes agree with the mart."""
    for day in sorted({*_SPOOL_DAYS} - {*_UNEVENTFUL}):
        usage_date = _START + timedelta(days=day - 1)
        explanation = explain_tokens(evidence, deployment=deployment, usage_date=usage_date)
        assert not _disagreeing(explanation), usage_date


def test_a_gap_in_the_scrapes_is_named_and_its_tokens_untimed(evidence: Evidence) -> None:
    """B15, B19."""
    explanation = explain_tokens(evidence, deployment="search-qwen", usage_date=date(2026, 10, 22))
    gaps = [row for row in _records(explanation, "Resets") if row["is_timed"] is False]
    assert [row["counted_from_at"].hour for row in gaps] == [13, 13]
    processes = _records(explanation, "Counters")
    assert {(row["engine"], row["prompt_tokens_are"]) for row in processes} == {("vllm", "delivered")}
    untimed = sum(row["of_which_untimed_tokens"] for row in processes)
    assert untimed == sum(row["prompt_tokens"] + row["output_tokens"] for row in gaps) > 0


def test_the_promql_subtracts_the_readings_named(evidence: Evidence) -> None:
    """B16: the raw counter at two instants, not its lifetime value and not an extrapolated increase()."""
    explanation = explain_tokens(evidence, deployment="chat-llama", usage_date=date(2026, 11, 10))
    expected = [int(line.rsplit(" = ", 1)[1]) for line in explanation.outside_check[1:]]
    assert sum(expected) == sum(row["tokens"] for row in _records(explanation, "The figure"))
    assert all(line.count(" @ ") == 2 and "increase(" not in line for line in explanation.outside_check[1:])


# --- invoices --------------------------------------------------------------------------------------------------------


def test_an_invoice_adds_up_to_its_days_its_states_and_its_own_total(evidence: Evidence) -> None:
    """B8, B24: storage, support, tax and credit stand beside the GPUs; the month's days sum to its lines."""
    explanation = explain_invoice(evidence, "DGC-2026-10-0042")
    assert not _disagreeing(explanation)
    lines = _records(explanation, "Lines as they stand")
    assert [row["where"] for row in lines] == [f"row {number}" for number in range(2, 11)]
    assert [row["says"]["Charge"] for row in lines] == [
        "8005.44", "8005.44", "2001.36", "19.22", "10.23", "120.00", "250.00", "-95.00", "549.50",
    ]  # fmt: skip
    assert _records(explanation, "Totals as they stand")[0]["where"] == "row 11"


@pytest.mark.parametrize("invoice_id", ["DEMO-AWS-2026-10-7731", "NG-2026-0118"])
def test_an_invoice_of_a_cloud_or_in_euros_adds_up_too(evidence: Evidence, invoice_id: str) -> None:
    """B7, B23: an export's lines that name it; a file with decimal commas whose days are inclusive."""
    explanation = explain_invoice(evidence, invoice_id)
    assert explanation.equalities
    assert not _disagreeing(explanation)


# --- verdicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "workload",
    ["support-chat", "coding-assistant", "internal-search", "document-batch", "ticket-triage", "mail-sorting"],
)
def test_what_explain_verdict_prints_recomputes_the_verdict(
    project: Project, evidence: Evidence, workload: str
) -> None:
    """B26, B30: every printed line's expression gives its own value, and the values are those published."""
    day = "2026-11-14"
    printed = _call(project, "verdict", workload, "--date", day)
    assert printed.exit_code == 0, printed.output
    values = dict(_recomputed(printed.output))
    row = evidence.ask("verdict", workload=workload, usage_date=day)[0]
    costs = {int(name[2]): value for name, value in values.items() if re.match(r"C\(", name)}
    best = min(costs, key=lambda count: (costs[count], count))
    assert best == row["best_replica_count"]
    assert _close(costs[best], row["best_cost_rc"])
    assert _close(costs[0], row["api_only_cost_rc"])
    for name, column in (
        ("demand a day", "demand_tokens_per_day"),
        ("API price at this mix", "api_price_rc_per_mtok"),
        ("GPU-hour rate", "gpu_hour_rate_rc"),
        ("capacity of a replica-hour", "capacity_tokens_per_replica_hour"),
        ("R, one replica", "replica_cost_rc"),
        ("F, overheads", "fixed_cost_rc"),
        ("margin of a full replica", "full_replica_margin_rc"),
        ("break-even utilization", "breakeven_utilization_ratio"),
        ("first break-even", "breakeven_first_tokens_per_day"),
        ("stable break-even", "breakeven_stable_tokens_per_day"),
        ("demand ratio", "demand_ratio"),
        ("replicas if all is self-hosted", "all_self_host_replica_count"),
        ("cost as it is done today", "current_cost_rc"),
        ("saving a month", "saving_rc_per_month"),
    ):
        value = next((found for line, found in values.items() if line.startswith(name)), None)
        assert (value is None) == (row[column] is None), column
        assert value is None or _close(value, row[column]), column


def _recomputed(output: str) -> Iterator[tuple[str, Fraction]]:
    """Each `what = expression = value` line, its expression evaluated; it must give the value printed."""
    for line in output.splitlines():
        found = re.fullmatch(r"  (\S.*?) = ([-0-9.x/+*() ,ceilmax]+) = (-?[0-9.]+)(?: \D.*)?", line)
        if found is None:
            continue
        value = _evaluated(found[2])
        assert _close(value, Fraction(found[3])), line
        yield found[1], value


def _evaluated(expression: str) -> Fraction:
    """Arithmetic with exact fractions: + - x / and max, ceil; no other name, no attribute, no call."""
    spelled = re.sub(r"(?<![a-z])x(?![a-z])", "*", expression)

    def value(node: ast.expr) -> Fraction:
        if isinstance(node, ast.Constant):
            return Fraction(ast.get_source_segment(spelled, node) or "")
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.BinOp):
            left, right = value(node.left), value(node.right)
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.Sub):
                return left - right
            return left * right if isinstance(node.op, ast.Mult) else left / right
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        arguments = [value(argument) for argument in node.args]
        return Fraction(math.ceil(arguments[0])) if node.func.id == "ceil" else max(arguments)

    return value(ast.parse(spelled.strip(), mode="eval").body)


def _close(value: Fraction, published: Any) -> bool:
    """Equal to 11 digits: prices per token are printed with 30 places, floats hold 15 digits."""
    wanted = Fraction(published)
    return abs(value - wanted) <= abs(wanted) / 10**11


def test_every_workload_of_the_last_week_agrees_with_its_arithmetic(evidence: Evidence) -> None:
    for workload in (
        "support-chat",
        "coding-assistant",
        "internal-search",
        "document-batch",
        "ticket-triage",
        "labs-experiments",
        "document-search",
    ):
        for back in (0, 6):
            explanation = explain_verdict(
                evidence, workload=workload, usage_date=date(2026, 11, 14) - timedelta(days=back)
            )
            assert not _disagreeing(explanation), (workload, back)
            assert len(_records(explanation, "Alert states")) == 45 - back


# --- what is paid for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deployment", ["batch-gemma", "chat-llama", "search-qwen", "triage-llama"])
def test_what_explain_release_prints_recomputes_the_release(
    project: Project, evidence: Evidence, deployment: str
) -> None:
    """B11, B30: every printed line's expression gives its own value, and the values are those published."""
    day = "2026-11-14"
    printed = _call(project, "release", deployment, "--date", day)
    assert printed.exit_code == 0, printed.output
    values = dict(_recomputed(printed.output))
    row = evidence.ask("release", deployment=deployment, usage_date=day)[0]
    for name, column in (
        ("share of the GPU time", "unobserved_gpu_ratio"),
        ("replicas that are paid for", "replica_count"),
        ("R, a replica-hour", "replica_rc_per_hour"),
        ("work of hour", "peak_work_replica_seconds"),
        ("needed", "needed_replica_count"),
        ("safe release", "safe_release_replica_count"),
        ("it saves a month", "safe_saving_rc_per_month"),
        ("p, the API price", "api_price_rc_per_replica_second"),
        ("the cheapest count saves", "economic_saving_rc_per_month"),
    ):
        [value] = [found for line, found in values.items() if line.startswith(name)]
        assert _close(value, row[column]), column
    kept = {int(name.split()[0]): value for name, value in values.items() if " kept, " in name}
    cheapest = min(kept, key=lambda count: (kept[count], count))
    assert row["replica_count"] - cheapest == row["economic_release_replica_count"]


@pytest.mark.parametrize("deployment", ["chat-llama", "search-qwen"])
def test_what_explain_fill_prints_recomputes_the_filling(project: Project, evidence: Evidence, deployment: str) -> None:
    day = "2026-11-14"
    printed = _call(project, "fill", deployment, "--date", day)
    assert printed.exit_code == 0, printed.output
    values = dict(_recomputed(printed.output))
    rows = evidence.ask("fill", deployment=deployment, usage_date=day)
    assert rows
    for row in rows:
        name = row["workload"]
        assert _close(values[f"p of {name}, a replica-second at the API"], row["api_price_rc_per_replica_second"])
        assert _close(values[f"what fits of {name} avoids"], row["avoided_cost_rc"])
        assert _close(values[f"a month of {name}"], row["avoided_rc_per_month"])


def test_every_release_and_filling_agrees_with_its_arithmetic(evidence: Evidence) -> None:
    """Of a day that is not settled, of the last one that is, and of one with too few watched hours before it."""
    for deployment, back in itertools.product(("batch-gemma", "chat-llama", "search-qwen"), (-1, 0, 14)):
        day = date(2026, 11, 14) - timedelta(days=back)
        release = explain_release(evidence, deployment=deployment, usage_date=day)
        assert not _disagreeing(release), (deployment, day)
        assert back < 0 or len(release.equalities) > 10
        if deployment != "batch-gemma":
            assert not _disagreeing(explain_fill(evidence, deployment=deployment, usage_date=day)), (deployment, day)


@pytest.mark.parametrize("deployment", ["chat-llama", "search-qwen"])
def test_what_explain_plan_prints_recomputes_the_plan(project: Project, evidence: Evidence, deployment: str) -> None:
    printed = _call(project, "plan", deployment, "--date", "2026-11-14")
    assert printed.exit_code == 0, printed.output
    values = dict(_recomputed(printed.output))
    rows = [row for row in evidence.ask("plan", deployment=deployment, usage_date="2026-11-14") if row["order_number"]]
    assert rows
    counts = {name: value for name, value in values.items() if name.startswith("C(")}
    for row in rows:
        assert _close(
            values[f"p of {row['workload']}, a replica-second at the API"], row["api_price_rc_per_replica_second"]
        )
        assert _close(counts[f"C({row['best_replica_count']})"], row["best_cost_rc"])
        assert _close(min(counts.values()), row["best_cost_rc"])
    for back in (-1, 14):
        day = date(2026, 11, 14) - timedelta(days=back)
        assert not _disagreeing(explain_plan(evidence, deployment=deployment, usage_date=day)), (deployment, day)


@pytest.mark.parametrize(
    ("deployment", "method"), [("chat-llama", "declared_throughput"), ("batch-gemma", "token_count")]
)
def test_what_explain_weights_prints_recomputes_the_split(
    project: Project, evidence: Evidence, deployment: str, method: str
) -> None:
    printed = _call(project, "weights", deployment, "--date", "2026-11-14")
    assert printed.exit_code == 0, printed.output
    assert f"the bill of the day is split by {method}" in printed.output
    values = dict(_recomputed(printed.output))
    rows = evidence.ask("weights", deployment=deployment, usage_date="2026-11-14")
    assert len(rows) > 1
    for row in rows:
        for column in ("full_cost_rc", "active_cost_rc"):
            assert _close(values[f"{row['token_class']} {column}"], row[column])
    with pytest.raises(NothingToExplainError, match=r"Did you mean chat-llama\?"):
        explain_weights(evidence, deployment="chat-lama")


def test_a_deployment_that_nobody_declared_says_which_there_are(evidence: Evidence) -> None:
    with pytest.raises(NothingToExplainError, match=r"Did you mean chat-llama\?"):
        explain_release(evidence, deployment="chat-lama")
    with pytest.raises(NothingToExplainError, match="Nothing is said of batch-gemma"):
        explain_fill(evidence, deployment="batch-gemma")
    with pytest.raises(NothingToExplainError, match="No plan of batch-gemma: one is made where several workloads"):
        explain_plan(evidence, deployment="batch-gemma")


# --- the shape -------------------------------------------------------------------------------------------------------


def test_a_changed_row_is_noticed(project: Project) -> None:
    """The planted fault: one parsed amount is a cent more than the bytes say; the sums differ, exit code 1."""
    call = ("cost", "--account", "demo-org", "--date", "2026-11-10")
    assert _call(project, *call).exit_code == 0
    for file in project.paths.cache.glob("parsed/*/*/*/costs.parquet"):
        frame = pl.read_parquet(file)
        day = pl.col("usage_date") == date(2026, 11, 10)
        if "amount" not in frame.columns or frame.filter(day).is_empty():
            continue
        kept = file.read_bytes()
        first = frame.with_row_index().filter(day)["index"][0]
        amount = str(Decimal(frame["amount"][first]) + 1)
        changed = pl.when(pl.int_range(pl.len()) == first).then(pl.lit(amount)).otherwise("amount").alias("amount")
        frame.with_columns(changed).write_parquet(file)
        try:
            answer = _call(project, *call)
        finally:
            file.write_bytes(kept)
        if answer.exit_code:
            break
    else:
        pytest.fail("no changed row was noticed")
    assert "NO   4 bill lines" in answer.output or re.search(r"NO   \d+ bill lines", answer.output)
    assert " is not " in answer.output


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ({"model": "claude-haiku-4"}, "Did you mean claude-haiku-4-5?"),
        ({"account": "nobody"}, "Known: demo-labs, demo-openai, demo-org."),
        ({"model": "claude-haiku-4-5", "from_date": date(2027, 1, 1)}, "There is some from 2026-10-01 to 2026-11-14."),
        ({"workload": "support-chat", "account": "demo-labs"}, "not together"),
    ],
)
def test_a_figure_that_is_not_there_says_what_is(evidence: Evidence, figure: Mapping[str, Any], said: str) -> None:
    wanted = {"from_date": _START, "to_date": date(2027, 2, 1), **figure}
    with pytest.raises(NothingToExplainError, match=re.escape(said)):
        explain_cost(evidence, CostFigure(**wanted))


def test_unknown_workloads_invoices_and_days_say_what_there_is(evidence: Evidence) -> None:
    with pytest.raises(NothingToExplainError, match="Known: coding-assistant, document-batch"):
        explain_verdict(evidence, workload="nobody")
    with pytest.raises(NothingToExplainError, match="Known: DEMO-AWS-2026-10-7731, DGC-2026-10-0042, NG-2026-0118"):
        explain_invoice(evidence, "DGC")
    with pytest.raises(NothingToExplainError, match="There is some from 2026-10-19 to 2026-11-14"):
        explain_tokens(evidence, deployment="chat-llama", usage_date=date(2027, 1, 1))
    with pytest.raises(NothingToExplainError, match="Known: batch-gemma, chat-llama, search-qwen"):
        explain_waste(evidence, WasteFigure(from_date=_START, to_date=_END, deployment="chat"))


def test_a_table_is_cut_and_json_is_whole(project: Project) -> None:
    call = ("cost", "--model", "claude-haiku-4-5", "--date", "2026-11-10")
    table = _call(project, *call, "--limit", "2")
    assert table.exit_code == 0, table.output
    assert "... and 190 more: --limit 192, or --format json" in table.output
    answer = json.loads(_call(project, *call, "--format", "json").output)
    rows = next(found["rows"] for found in answer["objects"] if found["title"] == "Metered rows")
    assert len(rows) == 192
    assert answer["holds"] is True
    assert {"file", "sha256", "where", "says"} <= rows[0].keys()


def test_text_from_data_is_neither_markup_nor_a_terminal_command(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "[bold]x[/bold]\x1b[31m\r\n\u202eevil"
    rows = Rows("Lines", ("file", "says"), ((hostile, {"description": hostile}),))
    explanation = Explanation(hostile, "s", (hostile,), (rows,), (), (), (Equality(hostile, 1, 2),), (hostile,))
    print_explanation(explanation, limit=5)
    printed = capsys.readouterr().out
    assert "[bold]x[/bold]" in printed
    assert not {"\x1b[31m", "\r", "\u202e"} & {piece for piece in ("\x1b[31m", "\r", "\u202e") if piece in printed}
    assert as_json(explanation)["holds"] is False


def test_no_explanation_shows_a_key_from_the_environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", "sk-ant-admin-not-to-be-seen")
    answer = _call(project, "cost", "--model", "claude-haiku-4-5", "--date", "2026-11-10")
    assert answer.exit_code == 0
    assert "not-to-be-seen" not in answer.output
    assert "$ANTHROPIC_ADMIN_KEY" in answer.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("cost", "--date", "2026-13-01"),
        ("cost", "--date", "2026-11-01", "--to", "2026-11-03"),
        ("waste",),
        ("tokens", "--deployment", "chat-llama"),
    ],
)
def test_a_wrong_call_is_refused_with_what_to_give(project: Project, arguments: tuple[str, ...]) -> None:
    assert _call(project, *arguments).exit_code == 2


def test_a_past_moment_is_explained_from_what_had_landed(project: Project) -> None:
    """Everything landed at the demo's own moment: before it there is nothing to explain, and that is said."""
    answer = _call(project, "cost", "--model", "claude-haiku-4-5", "--as-of", "2026-11-15T06:00Z")
    assert answer.exit_code == 0, answer.output
    early = _call(project, "verdict", "support-chat", "--as-of", "2026-10-01")
    assert isinstance(early.exception, NothingToExplainError)
