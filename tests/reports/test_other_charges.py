"""What a bill charges beside tokens, as it is read."""

from decimal import Decimal

from pipeline.reports.other_charges import in_words


def test_training_is_spent_once_and_hosting_is_due_whatever_is_used() -> None:
    row = {"workload": "chat", "billing_currency": "USD", "days_count": 2, "billed_cost": Decimal("81.60")}
    rows = [
        {**row, "other_kind": "images", "unit": "image", "billed_cost_per_unit": 0.04},
        {**row, "other_kind": "fine_tune_training", "unit": None, "billed_cost_per_unit": None},
        {**row, "other_kind": "tuned_model_hosting", "unit": "hour", "billed_cost_per_unit": 1.7},
    ]
    assert in_words(rows, reporting_currency="USD") == (
        "Beside the tokens of requests: images of chat $81.60 ($0.0400 an image); training of tuned models of chat "
        "$81.60, spent once; hosting of tuned models of chat $81.60 ($1.7000 an hour), due whatever is used: $40.80 a "
        "day of 2 days."
    )
    assert in_words([], reporting_currency="USD") is None


def test_an_amount_in_another_currency_is_the_bills_own_and_says_so() -> None:
    row = {"workload": "chat", "billing_currency": "USD", "days_count": 2, "billed_cost": Decimal("81.60")}
    rows = [{**row, "other_kind": "images", "unit": "image", "billed_cost_per_unit": 0.04}]
    assert in_words(rows, reporting_currency="EUR") == (
        "Beside the tokens of requests: images of chat 81.60 USD as billed (0.0400 USD as billed an image)."
    )
