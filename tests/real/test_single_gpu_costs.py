"""Two recorded single-GPU vLLM runs through the whole pipeline, each with a bill of exactly its seconds at one rate.

The same 500 prompts at two load levels. NVML utilization tells them apart by three points, and names the wrong one.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.pipeline.small_project import INVOICE, SPOOL, Answers, SmallProject, source
from tests.real.single_gpu_runs import FOLDER, MODEL, STARTS, Run, load_run, spool_files

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs the folder {FOLDER}")

NOW = datetime(2026, 3, 5, 6, tzinfo=UTC)
# 3.60 an hour: a dollar buys a thousand seconds, in either run.
RATE_PER_MILLISECOND = Decimal("0.000001")
LIGHT, HEAVY = "scale100", "scale1000"
DAYS = {LIGHT: date(2026, 3, 2), HEAVY: date(2026, 3, 3)}
PERIOD = {"from_date": date(2026, 3, 1), "to_date": date(2026, 4, 1)}


def milliseconds(run: Run) -> int:
    """From the engine's first line to the last NVML reading: what the samples cover."""
    return round((run.gpu[-1].clock_seconds - run.engine[0].clock_seconds) * 1000)


def bill(runs: dict[str, Run]) -> bytes:
    lines = ["Invoice,Item,Server,GPUs,Amount,Currency,From,To"]
    for name, run in runs.items():
        length = milliseconds(run)
        period = f"{run.started_at.isoformat()},{(run.started_at + timedelta(milliseconds=length)).isoformat()}"
        amount = length * RATE_PER_MILLISECOND
        lines.append(f"INV-{name},GPU server,{run.provider_resource_id},1,{amount},USD,{period}")
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    runs = {name: load_run(name) for name in STARTS}
    sections = {
        "gpu_resources": [
            {
                "issuer": "lab",
                "resource_id": run.provider_resource_id,
                "host": run.host,
                "gpu_count": 1,
                "from": run.started_at.date().isoformat(),
                "to": (run.started_at.date() + timedelta(days=1)).isoformat(),
            }
            for run in runs.values()
        ],
        "deployments": [
            {
                "deployment": name,
                "model": MODEL,
                "served_names": [MODEL],
                "hosts": [run.host],
                "gpus_per_replica": 1,
            }
            for name, run in runs.items()
        ],
    }
    made = SmallProject(tmp_path_factory.mktemp("runs"), [source(SPOOL, "fleet"), source(INVOICE, "lab")], sections)
    for name, run in runs.items():
        for file_name, content in spool_files(run):
            made.drop(SPOOL, "fleet", f"{name}-{file_name}", content)
    made.drop(INVOICE, "lab", "invoice.csv", bill(runs))
    return made.run(now=NOW)


def blended(built: Answers) -> dict[str, dict[str, Any]]:
    rows = built.rows("select * from fct_unit_costs_daily where token_class = 'blended'")
    return {row["deployment_id"]: row for row in rows}


@pytest.mark.parametrize("name", list(STARTS))
def test_the_marts_hold_the_prompt_tokens_of_the_same_500_prompts(built: Answers, name: str) -> None:
    """B15, B16: counters over two rotated files, the first reading being the baseline."""
    prompts = built.one(
        "select sum(tokens) from fct_self_host_tokens_daily "
        f"where deployment_id = '{name}' and token_class like 'input%'"
    )
    assert 171_050 <= prompts <= 171_235


@pytest.mark.parametrize("name", list(STARTS))
def test_every_billed_millisecond_of_a_run_has_a_state_and_all_were_observed(built: Answers, name: str) -> None:
    """B13, B19: the states sum to the bill, and nothing is called unobserved or idle that was not."""
    states = built.rows(
        "select state, sum(gpu_milliseconds) as ms, sum(realized_cost_rc) as cost from fct_gpu_costs_daily "
        f"where deployment_id = '{name}' group by 1"
    )
    length = milliseconds(load_run(name))
    assert sum(row["ms"] for row in states) == length
    assert sum(row["cost"] for row in states) == length * RATE_PER_MILLISECOND
    assert "unobserved" not in {row["state"] for row in states}
    assert built.rows("select * from fct_gpu_leftovers_daily") == []
    for law in ("check_gpu_money_conserved", "check_gpu_time_conserved"):
        assert built.rows(f"select * from {law}") == []


def test_a_token_cost_about_three_times_as_much_at_nearly_the_same_utilization(built: Answers) -> None:
    """B18, B30: 2.83 by GPU time, 2.88 by cost per token; utilization says 38% and 35%, the dear one being busier."""
    costs = blended(built)
    assert costs[LIGHT]["full_cost_rc"] / costs[HEAVY]["full_cost_rc"] == pytest.approx(
        Decimal("2.834"), abs=Decimal("0.001")
    )
    per_token = {name: costs[name]["full_cost_rc"] / Decimal(costs[name]["tokens"]) for name in STARTS}
    assert per_token[LIGHT] / per_token[HEAVY] == pytest.approx(Decimal("2.884"), abs=Decimal("0.001"))
    for name in STARTS:
        assert costs[name]["full_rc_per_mtok"] == pytest.approx(float(per_token[name] * 1_000_000))
    assert built.result.landed is not None
    samples: Any = built.result.landed.relations["landed_nvml_spool__gpu_samples"]
    utilization = {
        row["usage_date"]: row["mean"]
        for row in built.rows(
            f"select usage_date, avg(util_gpu_pct) as mean from ({samples.sql(None)}) group by usage_date"
        )
    }
    assert utilization[DAYS[LIGHT]] == pytest.approx(37.9, abs=0.05)
    assert utilization[DAYS[HEAVY]] == pytest.approx(34.6, abs=0.05)


def test_the_waste_view_says_why(built: Answers) -> None:
    """B13, B14: loaded and serving nobody for 115 s of 420, and twice the serving seconds for the same tokens."""
    rows = built.ask("waste", **PERIOD).to_dicts()
    states = {(row["deployment_id"], row["state"]): row for row in rows}
    idle, serving = states[LIGHT, "loaded_idle"], {name: states[name, "serving"] for name in STARTS}
    assert (HEAVY, "loaded_idle") not in states
    assert idle["gpu_milliseconds"] == 114_998
    assert idle["realized_cost_rc"] == Decimal("0.114998")
    assert {name: row["gpu_milliseconds"] for name, row in serving.items()} == {LIGHT: 305_488, HEAVY: 148_281}
    costs = blended(built)
    assert costs[LIGHT]["full_cost_rc"] - costs[LIGHT]["active_cost_rc"] == idle["realized_cost_rc"]
    active = {name: costs[name]["active_cost_rc"] / Decimal(costs[name]["tokens"]) for name in STARTS}
    assert active[LIGHT] / active[HEAVY] == pytest.approx(Decimal("2.097"), abs=Decimal("0.001"))


def test_both_bills_are_in_the_marts_whole(built: Answers) -> None:
    """B12: 0.420486 and 0.148359, nothing beside them."""
    assert built.rows(
        "select invoice_id, lines_cost, allocated_cost, unallocated_cost from fct_reconciliation_invoice order by 1"
    ) == [
        {
            "invoice_id": f"INV-{name}",
            "lines_cost": Decimal(cost),
            "allocated_cost": Decimal(cost),
            "unallocated_cost": Decimal(0),
        }
        for name, cost in ((LIGHT, "0.420486"), (HEAVY, "0.148359"))
    ]
