"""What bills are beyond their hours at the agreed rate is said where it is, in the bill's currency."""

from decimal import Decimal
from typing import Any

from pipeline.reports.residuals import residual_lines

from .fake_snapshot import DAY, hours, tables
from .reading import section, table
from .test_monthly import page

CAPTION = "Bills beside their GPU-hours at the agreed rate, where they are not the same"


def bill(gpu_hours: float | None, billed: str, rated: str | None, **changes: Any) -> dict[str, Any]:
    known = None if rated is None else Decimal(billed) - Decimal(rated)
    return {
        "usage_date": DAY,
        "issuer": "gpu-cloud",
        "account": "main",
        "resource_id": "node-1",
        "billing_currency": "EUR",
        "gpu_milliseconds": None if gpu_hours is None else hours(gpu_hours),
        "contract_rate_per_gpu_hour": Decimal("2.69"),
        "billed_cost": Decimal(billed),
        "rated_cost": None if rated is None else Decimal(rated),
        "billing_residual_cost": known,
        **changes,
    }


def test_a_resource_whose_bill_is_not_its_hours_at_the_rate_is_told_and_one_whose_bill_is_not(tmp_path):
    rows = [bill(400, "1200.00", "1076.00"), bill(10, "26.90", "26.90", resource_id="node-2")]
    document = page(tmp_path, {**tables(), "fct_billing_residual_daily": rows})
    (told,) = table(document, CAPTION)
    assert (told["Resource"], told["GPU-hours h"], told["Currency"]) == ("node-1", "400.00", "EUR")
    assert list(told.values())[-4:] == ["2.69", "1,200.00", "1,076.00", "124.00"]


def test_where_every_bill_is_its_hours_nothing_is_said(tmp_path):
    rows = [bill(10, "26.90", "26.90")]
    assert CAPTION not in section(page(tmp_path, {**tables(), "fct_billing_residual_daily": rows}), "waste").text


def test_a_residual_in_words_is_its_sum_and_without_hours_it_is_unknown():
    asked = [
        {**row, "gpu_hours": None if row["gpu_milliseconds"] is None else row["gpu_milliseconds"] / 3_600_000}
        for row in (bill(400, "1200.00", "1076.00"), bill(10, "20.00", "26.90"), bill(None, "-3.00", None))
    ]
    assert residual_lines(asked) == [
        "gpu-cloud node-1: billed €1,200.00, 400.00 GPU-hours at 2.69 are €1,076.00: residual €124.00",
        "gpu-cloud node-1: billed €20.00, 10.00 GPU-hours at 2.69 are €26.90: residual −€6.90",
        "gpu-cloud node-1: billed −€3.00; of some of its time nobody knows the GPU-hours, so what they are at 2.69 is "
        "unknown",
    ]
    assert residual_lines(asked * 2)[-1] == "and 1 more: fct_billing_residual_daily has all"
