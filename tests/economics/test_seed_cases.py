"""Published claims recomputed with the functions that the product uses, to 1e-9."""

import re
import subprocess
import sys

import pytest

from pipeline.economics.units import cost_of_tokens
from tests.economics.claims import ACCEPTANCE, ARITHMETIC, FORMULAS, PRODUCTS, WITHOUT_FORMULA, claims, page, recomputed

ROWS = claims()
needs_acceptance = pytest.mark.skipif(not ROWS, reason=f"no published claims to recompute in {ACCEPTANCE}")


@needs_acceptance
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["formula"] not in WITHOUT_FORMULA], ids=lambda row: row["case_id"]
)
def test_a_published_claim_recomputes(row):
    claim = recomputed(row)
    assert claim.agrees, (claim.value, row)


@needs_acceptance
def test_every_formula_has_claims_and_every_claim_a_formula():
    assert {row["formula"] for row in ROWS} == {*FORMULAS, "product", *WITHOUT_FORMULA}
    assert {claim.by for row in ROWS if row["formula"] == "product" for claim in [recomputed(row)]} == {
        ARITHMETIC,
        *(by for by, _ in PRODUCTS.values()),
    }


@needs_acceptance
def test_most_claims_go_through_the_product():
    found = [claim for row in ROWS if (claim := recomputed(row)).by is not None]
    assert len(found) == 220
    assert sum(claim.by != ARITHMETIC for claim in found) >= 130


@needs_acceptance
def test_the_page_lists_every_claim_with_its_verdict():
    drawn = subprocess.run(
        [sys.executable, "-m", "tests.economics.claims"], check=True, capture_output=True, text=True
    ).stdout
    listed = re.findall(r"<tr class='(\w+)'><td>(S\d{3}-\d{3})", drawn)
    assert listed == [(row["verdict"], row["case_id"]) for row in ROWS]
    assert "220 agree with the recomputed value to 1e-9" in drawn
    assert "http" not in drawn


def test_a_claim_that_does_not_recompute_says_so_on_the_page():
    row = {
        "case_id": "S1", "formula": "ratio", "inputs": '{"a": 1, "b": 3}', "printed_value": "0.4", "kind": "",
        "recomputed_value": "0.4", "unit": "<x>", "verdict": "wrong", "note": "a & b",
    }  # fmt: skip
    drawn = page([row])
    assert "differs from the file" in drawn
    assert "0 agree" in drawn
    assert "&lt;x&gt;" in drawn
    assert "a &amp; b" in drawn


def test_a_class_without_a_price_is_unpriced_and_not_free():
    """B4: a price that is missing is no price of 0."""
    with pytest.raises(ValueError, match="No price for output"):
        cost_of_tokens(tokens_by_class={"input": 1, "output": 2}, price_per_mtok_by_class={"input": 3})
    assert cost_of_tokens(tokens_by_class={"input": 1, "output": 0}, price_per_mtok_by_class={"input": 3}) * 10**6 == 3
