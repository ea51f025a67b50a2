"""A service that is billed by use, from its bills and its gateway's log to a price: never a GPU that stood idle."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.config.file import parse_config
from pipeline.errors import ConfigError
from pipeline.formats.spool import Header, Scrape, encode_record
from tests.models.cloud_harness import focus_csv, line

from .small_project import INVOICE, SPOOL, SmallProject, invoice_csv, source

GATEWAY = "litellm_spend_logs"
DAYS = {"from_date": date(2026, 11, 1), "to_date": date(2026, 11, 5)}
PER_USE = [
    {
        "service": "burst",
        "model": "llama-70b",
        "charges": [{"account": "modal", "resource_id": "app-1"}],
        "tokens": {"gateway": "proxy", "model": "chat-burst"},
        "to": "2026-11-04",
    },
    {"service": "endpoint", "model": "qwen-32b", "charges": {"account": "runpod", "resource_id": "endpoint-1"}},
]
OWNED = [{"team": "search", "match": {"account": "modal"}, "from": "2026-11-01"}]
BUDGETS = [{"monthly": 500}, {"model": "llama-70b", "monthly": 500}, {"team": "search", "monthly": 500}]
STARTED = datetime(2026, 11, 2, 1, tzinfo=UTC)
CHAT = {"deployment": "chat", "model": "base-8b", "served_names": "base", "adapters": ["legal"], "hosts": "host-1",
        "gpus_per_replica": 1}  # fmt: skip
GPUS = [{"issuer": "runpod", "resource_id": "server-1", "host": "host-1", "gpu_count": 1, "from": "2026-11-01",
         "to": "2026-11-04"}]  # fmt: skip
SOURCES = [
    source("focus", "modal"),
    source(INVOICE, "runpod"),
    source(GATEWAY, "proxy", settings={"bills": {"hosted_vllm": None}}),
]


def used(cost: str, **fields: str) -> dict[str, str]:
    costs = dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), cost)
    time = {"ConsumedUnit": "GPU-Seconds", "ConsumedQuantity": "1800"}
    return line(ResourceId="app-1", ServiceName="Functions", **costs, **time, **fields)


def request(number: int, model: str, prompt: int, completion: int) -> dict[str, Any]:
    return {"request_id": f"r-{number}", "call_type": "acompletion", "prompt_tokens": prompt,
            "completion_tokens": completion, "startTime": "2026-11-02T09:30:00.000Z", "model": model,
            "custom_llm_provider": "hosted_vllm", "cache_hit": "False"}  # fmt: skip


def served(second: int, prompt: int, generated: int) -> bytes:
    """A scrape of an engine that began at one in the morning of 2 November."""
    body = "".join(
        f"# TYPE {name} {kind}\n{name}{labels} {value}\n"
        for name, kind, labels, value in (
            ("process_start_time_seconds", "gauge", "", STARTED.timestamp()),
            ("vllm:prompt_tokens_total", "counter", '{engine="0",model_name="base"}', prompt),
            ("vllm:generation_tokens_total", "counter", '{engine="0",model_name="base"}', generated),
        )
    )
    at = STARTED + timedelta(seconds=second)
    record = Scrape(interval_ms=15_000, target="http://127.0.0.1:8000/metrics", replica_id="r", gpu_uuids=("GPU-1",),
                    gpu_method="declared", http_status=200, duration_ms=3, body=body)  # fmt: skip
    return encode_record(record, seq=second, at=at, mono_ms=second * 1000).rstrip(b"\n") + b"\n"


def spool() -> bytes:
    header = Header(host="host-1", boot_id="b", agent_start_id="a", agent_version="1", provider_resource_id="server-1")
    lines = [served(15, 0, 0), served(30, 4_000, 2_000), served(45, 10_000, 3_000)]
    first = encode_record(header, seq=0, at=STARTED, mono_ms=0).rstrip(b"\n") + b"\n"
    return b"".join([first, *lines])


def test_a_service_billed_by_use_has_a_price_and_is_in_no_gpu_state(tmp_path: Path, warm_cache: Path) -> None:
    """B22, B24."""
    sections = {
        "per_use": PER_USE,
        "gpu_resources": GPUS,
        "deployments": [CHAT],
        "ownership": OWNED,
        "budgets": BUDGETS,
    }
    project = SmallProject(tmp_path, [*SOURCES, source(SPOOL, "fleet")], sections, warm_cache=warm_cache)
    project.drop(SPOOL, "fleet", "spool.jsonl", spool())
    # Of a day on which it is billed by use no longer.
    later = used("50.00", ChargePeriodStart="2026-11-04T04:00:00Z", ChargePeriodEnd="2026-11-04T05:00:00Z")
    project.drop("focus", "modal", "november.csv", focus_csv([used("2.00"), used("5.00", ResourceName="x"), later]))
    project.drop(
        INVOICE,
        "runpod",
        "invoice.csv",
        invoice_csv([("GPU server", "server-1", "72.00"), ("GPU server", "endpoint-1", "9.00")], total="81.00"),
    )
    log = [
        request(1, "hosted_vllm/chat-burst", 1_000_000, 750_000),
        request(2, "something-else", 9, 9),
        request(3, "base", 4_000, 1_000),
        request(4, "legal", 6_000, 2_000),
    ]
    project.drop(GATEWAY, "proxy", "log.json", json.dumps(log).encode())
    answers = project.run()
    assert project.quarantine() == []
    prices = {row["served_by"]: row for row in answers.ask("unit_costs", **DAYS).to_dicts()}
    assert (prices["burst"]["lane"], prices["burst"]["model"]) == ("per_use", "llama-70b")
    assert (prices["burst"]["full_cost_rc"], prices["burst"]["tokens"]) == (Decimal("7.00"), 1_750_000)
    assert prices["burst"]["full_rc_per_mtok"] == prices["burst"]["active_rc_per_mtok"] == 4.0
    assert (prices["endpoint"]["full_cost_rc"], prices["endpoint"]["full_rc_per_mtok"]) == (Decimal("9.00"), None)
    workers = answers.rows("select sum(worker_milliseconds) as ms from fct_per_use_costs_daily")
    assert workers == [{"ms": 3_600_000}]
    # The bill's dollar has one home; no state of a GPU, no GPU-hour and no line of `waste` is of it.
    assert answers.gpu_cost("runpod") == Decimal("81.00")
    states = answers.rows(
        "select resource_id, string_agg(distinct state) as states, sum(realized_cost) as cost, "
        "sum(gpu_milliseconds) as ms from fct_gpu_costs_daily group by resource_id order by resource_id"
    )
    assert [(row["resource_id"], row["cost"], row["ms"]) for row in states] == [
        ("endpoint-1", Decimal("9.00"), None),
        ("server-1", Decimal("72.00"), 3 * 86_400_000),
    ]
    assert states[0]["states"] == "per_use"
    assert answers.rows("select distinct resource_id from int_gpu_states_daily") == [{"resource_id": "server-1"}]
    wasted = answers.ask("waste", **DAYS).to_dicts()
    assert sum(row["realized_cost_rc"] for row in wasted) == Decimal("72.00")
    assert "per_use" not in {row["state"] for row in wasted}
    # To its engine's counters an adapter is the deployment; the gateway names it.
    adapters = answers.ask("adapter_costs", **DAYS).to_dicts()
    assert {row["served_as"]: row["tokens"] for row in adapters} == {"legal": 8_000, "(its own names)": 5_000}
    served = answers.rows("select sum(tokens) as tokens from fct_self_host_tokens_daily where deployment_id = 'chat'")
    assert served == [{"tokens": 13_000}]
    whole = answers.one(
        "select full_cost_rc from fct_unit_costs_daily where deployment_id = 'chat' and token_class = 'blended' "
        "and tokens > 0"
    )
    assert sum(row["full_cost_rc"] for row in adapters) == whole
    # On a cloud's bill it is spent as it is on a bill of GPUs: in the headline, and in the budgets that it is of.
    spent = {row["lane"]: row["realized_cost_rc"] for row in answers.ask("headline", **DAYS).to_dicts()}
    assert spent == {"cloud_per_use": Decimal("7.00"), "self_host": Decimal("81.00")}
    [table] = answers.ask("spend_per_use", **DAYS).to_dicts()
    assert (table["account"], table["realized_cost_rc"]) == ("modal", Decimal("7.00"))
    budgets = answers.rows("select scope, settled_known_cost_rc + provisional_cost_rc as cost from fct_budgets_monthly")
    assert {row["scope"]: row["cost"] for row in budgets} == {"organisation": 88, "model": 7, "team": 7}
    assert answers.rows("select law, detail from check_owner_money_conserved") == []
    assert answers.rows("select law, detail from check_gpu_money_conserved") == []
    assert answers.rows("select law, detail from check_gpu_time_conserved") == []
    shown = CliRunner().invoke(group, ["costs", "--project", str(tmp_path), "--from", "2026-11-01", "--format", "csv"])
    assert shown.exit_code == 0, shown.output
    assert "per_use,llama-70b,burst,billed,1750000,7" in shown.output
    read = CliRunner().invoke(group, ["costs", "--project", str(tmp_path), "--from", "2026-11-01"])
    said = " ".join(read.output.split())
    assert "chat, legal: 8,000 tokens" in said
    assert "endpoint: 3 days without a price ($9.00) because no rule names its gateway" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"charges": {"account": "nobody"}}, "charges.0.account is 'nobody'. No bill by lines has this account"),
        (
            {"charges": {"account": "runpod", "resource_id": "server-1"}},
            "charges.0.resource_id is 'server-1'. It is in gpu_resources, where every hour counts",
        ),
        ({"tokens": {"gateway": "runpod", "model": "m"}}, "tokens.0.gateway is 'runpod'. No log of requests"),
        ({"to": "2026-01-01", "from": "2026-02-01"}, "It must be after `from`"),
    ],
)
def test_a_service_whose_bill_or_log_nobody_reads_is_refused(change: dict[str, Any], said: str) -> None:
    said_of = {"company": "acme", "sources": SOURCES, "gpu_resources": GPUS, "per_use": [{**PER_USE[0], **change}]}
    with pytest.raises(ConfigError) as error:
        parse_config(yaml.safe_dump(said_of))
    assert said in str(error.value)
