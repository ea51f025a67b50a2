"""Services billed by use: each claimed charge and each logged request once, by hand beside the node."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions import per_use_costs
from pipeline.decisions.per_use_costs import milliseconds_per_unit

Row = Mapping[str, Any]
DAY = date(2026, 11, 2)
ALWAYS = {"valid_from_date": None, "valid_to_date": None}
# A euro is 1.25 dollars.
EUR = Fraction(5, 4)


def service(name: str, **changes: Any) -> Row:
    return {"per_use_service": name, "model": "llama-70b", **ALWAYS, **changes}


def rule(name: str, **fields: Any) -> Row:
    columns = ("account", "resource_id", "service", "sku", "sub_account_id")
    return {"per_use_service": name, **dict.fromkeys(columns), "account": "modal", **ALWAYS, **fields}


def sought(name: str, model: str, **fields: Any) -> Row:
    return {"per_use_service": name, "gateway_account": "proxy", "provider": None, "raw_model": model, **ALWAYS,
            **fields}  # fmt: skip


def charge(cost: str | None, **fields: Any) -> Row:
    return {
        "usage_date": DAY,
        "issuer": "modal",
        "account": "modal",
        "resource_id": "app-1",
        "service": "Functions",
        "sku": "h100",
        "sub_account_id": None,
        "consumed_unit": "GPU-Seconds",
        "consumed_quantity": Decimal(100),
        "billing_currency": "USD",
        "kind": "usage",
        "cost_measure": "billed",
        "cost": None if cost is None else Decimal(cost),
        "cost_rc": None if cost is None else Decimal(cost),
        **fields,
    }


def billed(cost: str, **fields: Any) -> Row:
    """A day of an invoice's line."""
    return {
        "usage_date": DAY,
        "issuer": "runpod",
        "account": "runpod",
        "resource_id": "endpoint-1",
        "billing_currency": "EUR",
        "gpu_milliseconds": 5_000,
        "cost": Decimal(cost),
        **fields,
    }


def logged(model: str, prompt: int, completion: int, **fields: Any) -> Row:
    return {"usage_date": DAY, "account": "proxy", "provider": "hosted_vllm", "raw_model": model, "request_count": 1,
            "prompt_tokens": prompt, "completion_tokens": completion, **fields}  # fmt: skip


def _claimed(charges: Sequence[Row], rules: Sequence[Row]) -> list[Row]:
    """Those that a rule names, with the services that claim them, as the table has them."""
    columns = ("account", "resource_id", "service", "sku", "sub_account_id")
    found = []
    for one in charges:
        names = {
            said["per_use_service"]
            for said in rules
            if all(said[name] in (None, one[name]) for name in columns)
            and (said["valid_from_date"] or DAY) <= DAY < (said["valid_to_date"] or date.max)
        }
        if names:
            found.append({**one, "per_use_service": " + ".join(sorted(names))})
    return found


def built(
    services: Sequence[Row],
    *,
    rules: Sequence[Row] = (),
    tokens: Sequence[Row] = (),
    cloud: Sequence[Row] = (),
    invoices: Sequence[Row] = (),
    logs: Sequence[Row] = (),
) -> dict[str, dict[str, Any]]:
    def by_day(rows: Sequence[Row]) -> dict[date, list[Row]]:
        return {DAY: list(rows)} if rows else {}

    rates = [
        {"currency": currency, "reporting_currency": "USD", "multiplier": rate.numerator, "divisor": rate.denominator}
        for currency, rate in (("USD", Fraction(1)), ("EUR", EUR))
    ]
    inputs: dict[str, Any] = {
        "this_partition": pl.DataFrame({"from_date": [date(2026, 11, 1)], "to_date": [date(2026, 12, 1)]}),
        "config_per_use": list(services),
        "config_per_use_charges": list(rules),
        "config_per_use_tokens": list(tokens),
        "fct_cloud_charges_daily": by_day(_claimed(cloud, rules)),
        "int_gpu_charges_daily": by_day(invoices),
        "int_fx_rates_daily": {DAY: per_use_costs.PREPARE["int_fx_rates_daily"](pl.DataFrame(rates))},
        "stg_litellm_spend_logs__usage_hourly": by_day(logs),
    }
    rows = per_use_costs.build(inputs).to_dicts()
    found = {row["per_use_service"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def test_what_workers_billed_over_what_the_gateway_logged_is_the_price_of_a_token() -> None:
    row = built(
        [service("burst")],
        rules=[rule("burst", resource_id="app-1")],
        tokens=[sought("burst", "chat-burst")],
        cloud=[
            charge("3.00"),
            charge("1.00", consumed_unit="Requests"),
            charge("-0.50", kind="given_back", consumed_unit=None, consumed_quantity=None),
            charge("0.70", kind="beside"),
            charge("99", resource_id="app-2"),
        ],
        logs=[logged("chat-burst", 600_000, 400_000), logged("other", 7, 7)],
    )["burst"]
    assert (row["status"], row["reason"]) == ("known", None)
    assert row["full_cost_rc"] == Decimal("3.50")
    assert row["of_which_worker_time_cost_rc"] == Decimal("3.00")
    assert row["beside_cost_rc"] == Decimal("0.70")
    assert (row["worker_milliseconds"], row["charge_count"], row["tokens"]) == (100_000, 4, 1_000_000)
    assert row["full_rc_per_mtok"] == 3.5


COSTS = st.integers(-(10**6), 10**6).map(lambda quanta: Decimal(quanta).scaleb(-4))
NAMES = ("a", "b", "c")


@settings(max_examples=60, deadline=None)
@given(
    rules=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["app-1", "app-2", None]),
                             st.sampled_from(["h100", None])), max_size=5),
    cloud=st.lists(st.tuples(st.sampled_from(["app-1", "app-2", "app-3"]), st.sampled_from(["h100", "l4"]), COSTS,
                             st.sampled_from(["usage", "beside"])), max_size=8),
    invoices=st.lists(st.tuples(st.sampled_from(["endpoint-1", "endpoint-2"]), COSTS), max_size=4),
    logs=st.lists(st.tuples(st.sampled_from(["m1", "m2", "m3"]), st.integers(0, 10**6)), max_size=6),
    named=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["m1", "m2"])), max_size=4, unique=True),
)  # fmt: skip
def test_every_claimed_charge_is_in_one_row_and_every_request_in_one_services_tokens(
    rules: list[tuple[str, str | None, str | None]],
    cloud: list[tuple[str, str, Decimal, str]],
    invoices: list[tuple[str, Decimal]],
    logs: list[tuple[str, int]],
    named: list[tuple[str, str]],
) -> None:
    """B22, B24: what two claim is neither's, and nothing that is claimed is missing or there twice."""
    found = built(
        [service(name) for name in NAMES],
        rules=[
            *(rule(name, resource_id=resource, sku=sku) for name, resource, sku in rules),
            rule("a", account="runpod", resource_id="endpoint-1"),
        ],
        tokens=[sought(name, model) for name, model in named],
        cloud=[charge(str(cost), resource_id=resource, sku=sku, kind=kind) for resource, sku, cost, kind in cloud],
        invoices=[billed(str(cost), resource_id=resource) for resource, cost in invoices],
        logs=[logged(model, count, 1) for model, count in logs],
    )
    full: dict[str, list[Fraction]] = {}
    beside: dict[str, list[Fraction]] = {}
    for resource, sku, cost, kind in cloud:
        owners = sorted({name for name, of, on in rules if of in (None, resource) and on in (None, sku)})
        if owners:
            (full if kind == "usage" else beside).setdefault(" + ".join(owners), []).append(Fraction(cost))
    for resource, cost in invoices:
        if resource == "endpoint-1":
            full.setdefault("a", []).append(Fraction(cost) * EUR)
    for name in {*full, *beside}:
        for column, parts in (("full_cost_rc", full), ("beside_cost_rc", beside)):
            expected = sum(parts[name]) if name in parts else None
            assert (None if found[name][column] is None else Fraction(found[name][column])) == expected
    assert {name for name in found if found[name]["charge_count"]} == {*full, *beside}
    for name in NAMES:
        own = [model for of, model in named if of == name]
        is_shared = any(
            model in own and other in own for model, _ in logs for of, other in named if of != name and other == model
        )
        expected_tokens = sum(count + 1 for model, count in logs if model in own)
        if name not in found:
            assert not own or not logs or is_shared
        elif not own or not logs or is_shared:
            assert found[name]["tokens"] is None
        else:
            assert found[name]["tokens"] == expected_tokens
    assert all(found[name]["status"] == "claimed_twice" for name in found if " + " in name)


def test_a_service_has_no_idle_state_no_gpu_and_no_hour_that_nobody_used() -> None:
    """It is exempt from idle by what the table can say at all."""
    assert not any(word in name for name in per_use_costs.SCHEMA for word in ("idle", "state", "gpu", "unobserved"))


def test_missing_is_not_zero() -> None:
    burst, rules = [service("burst")], [rule("burst")]
    named = [sought("burst", "chat-burst")]
    unlogged = built(burst, rules=rules, tokens=named, cloud=[charge("1")])["burst"]
    assert (unlogged["status"], unlogged["tokens"]) == ("no_tokens", None)
    assert unlogged["reason"] == "nothing is logged of proxy that day"
    unnamed = built(burst, rules=rules, cloud=[charge("1")], logs=[logged("chat-burst", 1, 1)])["burst"]
    assert (unnamed["status"], unnamed["tokens"], unnamed["full_rc_per_mtok"]) == ("no_tokens", None, None)
    quiet = built(burst, rules=rules, tokens=named, cloud=[charge("1")], logs=[logged("other", 1, 1)])["burst"]
    assert (quiet["status"], quiet["tokens"], quiet["full_rc_per_mtok"]) == ("known", 0, None)
    unbilled = built(burst, rules=rules, tokens=named, logs=[logged("chat-burst", 1, 1)])["burst"]
    assert (unbilled["status"], unbilled["full_cost_rc"], unbilled["tokens"]) == ("no_charge", None, 2)
    unpriced = built(burst, rules=rules, cloud=[charge("1"), charge(None)])["burst"]
    assert (unpriced["status"], unpriced["full_cost_rc"]) == ("unpriced", None)
    untimed = built(burst, rules=rules, cloud=[charge("1", consumed_unit=None, consumed_quantity=None)])["burst"]
    assert (untimed["worker_milliseconds"], untimed["of_which_worker_time_cost_rc"]) == (None, Decimal(1))


def test_a_rate_that_is_missing_leaves_the_cost_unknown_and_not_one_to_one() -> None:
    row = built(
        [service("burst")],
        rules=[rule("burst", account="runpod")],
        invoices=[billed("1", billing_currency="CHF")],
    )["burst"]
    assert (row["status"], row["full_cost_rc"]) == ("unpriced", None)


def test_a_service_is_one_on_its_days_alone() -> None:
    over = {"valid_from_date": None, "valid_to_date": DAY}
    assert built([service("burst", **over)], rules=[rule("burst", **over)], cloud=[charge("1")]) == {}


@pytest.mark.parametrize(
    ("unit", "milliseconds"),
    [("GPU-Seconds", 1_000), ("Hrs", 3_600_000), ("worker hours", 3_600_000), ("Instance-Hours", 3_600_000),
     ("minutes", 60_000), ("ms", 1), ("1 Hour", 3_600_000), ("100 Hours", None), ("0.1 Hours", None), ("1M", None),
     ("100ms", None), ("GB-Seconds", None), ("vCPU-Hours", None), ("Requests", None), ("Months", None),
     ("", None), (None, None)],
)  # fmt: skip
def test_only_a_workers_own_time_is_worker_time(unit: str | None, milliseconds: int | None) -> None:
    """A gigabyte's second is no worker's second; nor is a hundred hours an hour, or a million a minute."""
    assert milliseconds_per_unit(unit) == milliseconds
