"""The month's report: each measure apart, the unknown as unknown, the unproven as unproven, the hostile as text."""

import os
import re
import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal

import pytest

from pipeline.decisions.quarantine import QuarantineEntry
from pipeline.errors import BreakevenError
from pipeline.landing.project import Project
from pipeline.reports.monthly import report_text, write_report

from .fake_snapshot import (
    AS_OF,
    DAY,
    OCTOBER,
    api_cost,
    broken,
    charge,
    config,
    gpu_cost,
    hours,
    snapshot_of,
    tables,
    unit_cost,
    verdict,
)
from .reading import read, section, table

SPEND = "API spend, billed"
GPU_SPEND = "GPU spend, by who sends the bill"
PRICES = "Cost of a million tokens, blended and by token class"
STATES = "GPU-hours and money by deployment and state"
BILLS = "The GPU bill beside the sum of its states, to the last digit"
VERDICTS = "Verdicts of the last settled day of the month"
INVOICES = "Invoices that cover a day of this month, each for its whole period"
COVERAGE = "Days of the month by source"
LAWS = "Laws checked on this snapshot, all its days"
HOSTILE = (
    "=1+1\u202e</td><script src=https://evil.invalid/x.js>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;{{7*7}}"
)


def html(tmp_path, filled=None, *, company="Acme", quarantined=(), month=OCTOBER):
    snapshot = snapshot_of(tables() if filled is None else filled, tmp_path)
    return report_text(snapshot, config=config(company), quarantined=quarantined, first_day=month)


def page(tmp_path, filled=None, **more):
    return read(html(tmp_path, filled, **more))


def changed(**replaced):
    return {**tables(), **replaced}


def row(rows, **wanted):
    heads = {name: head for head in rows[0] for name in wanted if head.lower().startswith(name.replace("_", " "))}
    found = [line for line in rows if all(line[heads[name]].startswith(text) for name, text in wanted.items())]
    assert len(found) == 1, (wanted, rows)
    return found[0]


def says(document, anchor):
    return next(
        element.text for element in section(document, anchor).every("p") if "says" in element.attributes["class"]
    )


# The file


def test_the_same_snapshot_gives_the_same_bytes_twice_in_one_process(tmp_path):
    first = html(tmp_path)
    html(tmp_path, month=date(2026, 9, 1))
    assert html(tmp_path) == first


def test_the_same_snapshot_gives_the_same_bytes_in_any_process_zone_locale_and_hash_order(tmp_path):
    """No clock, no zone, no locale, no order of a set is read."""
    code = (
        "import sys, pathlib; from tests.reports.test_monthly import html;"
        "sys.stdout.buffer.write(html(pathlib.Path(sys.argv[1])).encode())"
    )
    written = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={**os.environ, "TZ": zone, "LC_ALL": "C", "LANG": locale, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for zone, locale, seed in (("Pacific/Kiritimati", "de_DE.UTF-8", "7"), ("America/Los_Angeles", "C", "8"))
    ]
    assert written[0] == written[1] == html(tmp_path).encode()


def test_the_file_names_its_snapshot_and_how_to_make_it_again(tmp_path):
    footer = page(tmp_path).every("footer")[0].text
    snapshot = snapshot_of(tables(), tmp_path)
    for fact in (snapshot.snapshot_id, "2026-11-05 06:00:00 UTC", "breakeven 0.1.0", "landing-identity"):
        assert fact in footer
    assert "breakeven report --month 2026-10 --as-of 2026-11-05T06:00:00" in footer


def test_the_file_asks_nothing_of_the_network_and_runs_nothing(tmp_path):
    text = html(tmp_path)
    document = read(text)
    assert not document.every("script", "link", "iframe", "img", "object", "embed", "form", "base")
    policy = [found.attributes for found in document.every("meta") if "http-equiv" in found.attributes]
    assert [found["content"] for found in policy] == ["default-src 'none'; style-src 'unsafe-inline'"]
    addresses = {
        value
        for element in document.every(*{found.tag for found in everything(document)})
        for name, value in element.attributes.items()
        if name in ("src", "href", "xlink:href", "action", "poster", "srcset")
    }
    assert all(address.startswith("#") for address in addresses)
    assert re.findall(r"url\((?!#)", text) == []
    assert "@import" not in text


def everything(element):
    return [element, *(found for child in element.children for found in everything(child))]


def test_every_table_says_what_its_cells_are_and_every_name_points_at_something(tmp_path):
    document = page(tmp_path)
    elements = everything(document)
    ids = [element.attributes["id"] for element in elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    pointed = [name for element in elements for name in element.attributes.get("aria-labelledby", "").split()]
    pointed += [link.attributes["href"][1:] for link in document.every("a")]
    assert set(pointed) <= set(ids)
    for found in document.every("table"):
        assert found.every("caption")
        assert {head.attributes.get("scope") for head in found.every("th")} == {"col", "row"}
    assert [len(document.every(landmark)) for landmark in ("header", "nav", "main", "footer", "h1")] == [1] * 5
    assert all(svg.attributes.get("role") == "img" or svg.attributes["aria-hidden"] for svg in document.every("svg"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_against_its_paper(tmp_path, scheme):
    """WCAG 2.2 AA: 4.5 to 1."""
    css = page(tmp_path).every("style")[0].text
    roots = re.findall(r":root \{([^}]*)\}", css)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6})", roots[0 if scheme == "light" else 1]))
    for text, paper in (("ink", "paper"), ("quiet", "paper"), ("accent", "paper"), ("alarm", "alarm-paper")):
        assert contrast(colours[text], colours[paper]) >= 4.5, (text, paper)


def contrast(one, other):
    lights = sorted((_luminance(one), _luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_hostile_names_come_out_inert(tmp_path):
    """Markup, script, a template, a formula, right-to-left: from every table, the configuration and the quarantine."""
    filled = {
        name: [
            {
                column: HOSTILE
                if isinstance(value, str)
                and column not in ("lane", "cost_measure", "token_class", "attribution", "charge_kind", "status")
                else value
                for column, value in line.items()
            }
            for line in lines
        ]
        for name, lines in tables().items()
    }
    filled["check_money_is_conserved"] = [broken("money_is_conserved", HOSTILE, HOSTILE)]
    entry = QuarantineEntry(source=HOSTILE, account=HOSTILE, name=HOSTILE, sha256="0" * 64, reason=HOSTILE)
    text = html(tmp_path, filled, company=HOSTILE, quarantined=[entry])
    document = read(text)
    assert not document.every("script", "img")
    assert "\u202e" not in text
    assert "evil.invalid" in document.text
    assert "{{7*7}}" in document.text
    assert not [name for element in everything(document) for name in element.attributes if name.startswith("on")]
    assert not [cell.text for cell in document.every("td", "th", "dd", "h3") if cell.text[:1] in ("=", "+", "@")]


# What it says


def test_sections_come_in_the_order_in_which_finance_asks(tmp_path):
    anchors = [found.attributes["id"] for found in page(tmp_path).every("section")]
    assert " ".join(anchors) == (
        "headline changes spend unit-costs waste commitments verdicts recommendations budget anomalies reconciliation "
        "close controls coverage assumptions laws"
    )


def test_the_headline_says_a_price_of_each_lane_and_the_largest_saving_alone(tmp_path):
    """GPUs: 64.56 over 10 million tokens. Two savings do not add up: the larger one, and how many more there are."""
    filled = changed(
        fct_verdicts_daily=[verdict(), verdict(workload="lab", saving_rc_per_month=Decimal("50"))],
        fct_gpu_costs_daily=[
            *tables()["fct_gpu_costs_daily"],
            gpu_cost(cost_measure="accrued", realized_cost=Decimal(8)),
        ],
    )
    document = page(tmp_path, filled)
    tiles = {name: tile.text for name, tile in headline_tiles(document).items()}
    assert "4.5050 USD" in tiles["API, a million tokens"]
    assert "6.4560 USD" in tiles["GPUs, a million tokens"]
    assert "114.24 USD a month buy: llama, chat; 1 other" in tiles["Largest saving found"]
    assert "164.24" not in document.text
    assert table(document, "Accrued: agreed, and on no bill yet")[-1]["Accrued USD"] == "8.00"
    assert says(document, "recommendations") == "2 to buy."
    assert says(document, "assumptions").startswith("No list price")


def headline_tiles(document):
    return {tile.every("dt")[0].text: tile for tile in section(document, "headline").every("dl")[0].children}


def test_billed_effective_and_accrued_are_never_added(tmp_path):
    """B20, B22: three claims about money, three figures."""
    filled = tables()
    filled["fct_gpu_costs_daily"].append(
        gpu_cost(usage_date=date(2026, 10, 21), cost_measure="accrued", realized_cost=Decimal("7.07"))
    )
    document = page(tmp_path, filled)
    tiles = {name: tile.every("b")[0].text for name, tile in headline_tiles(document).items()}
    assert tiles["API, billed"] == "101.30"
    assert (tiles["GPUs, billed"], tiles["GPUs, effective"], tiles["GPUs, accrued"]) == ("64.56", "29.40", "7.07")
    for sum_of_two in ("93.96", "130.70", "165.86", "71.63", "36.47", "101.03"):
        assert sum_of_two not in document.text


def test_two_measures_of_one_deployment_are_two_prices(tmp_path):
    """B20"""
    filled = changed(
        fct_unit_costs_daily=[
            unit_cost(),
            unit_cost(usage_date=date(2026, 10, 21), cost_measure="accrued", full_cost_rc=Decimal("20")),
        ]
    )
    prices = table(page(tmp_path, filled), PRICES)
    assert [(line["Measure"], line["Full USD per 1M tokens"]) for line in prices] == [
        ("accrued", "2.0000"),
        ("billed", "6.4560"),
    ]


def test_a_price_over_days_is_the_ratio_of_sums(tmp_path):
    """B30"""
    filled = changed(
        fct_unit_costs_daily=[
            unit_cost(tokens=1_000_000, full_cost_rc=Decimal("10")),
            unit_cost(usage_date=date(2026, 10, 21), tokens=9_000_000, full_cost_rc=Decimal("10")),
        ]
    )
    assert table(page(tmp_path, filled), PRICES)[0]["Full USD per 1M tokens"] == "2.0000"


def test_what_served_nothing_has_a_cost_and_no_price(tmp_path):
    """B14"""
    line = row(table(page(tmp_path), PRICES), model="gemma")
    assert [line[f"{price} USD per 1M tokens"] for price in ("Full", "Active", "Marginal")] == ["undefined"] * 3


def test_a_day_without_a_token_count_is_in_the_bill_and_in_no_price(tmp_path):
    """B16, B19: its cost over the other days' tokens would be a price nobody paid."""
    filled = changed(
        fct_unit_costs_daily=[unit_cost(), unit_cost(usage_date=date(2026, 10, 21), tokens=None)],
    )
    document = page(tmp_path, filled)
    assert table(document, PRICES)[0]["Full USD per 1M tokens"] == "6.4560"
    assert "1 deployment-day had a cost but no token count" in section(document, "unit-costs").text


def test_an_unknown_cost_leaves_the_price_unknown(tmp_path):
    """B4"""
    filled = changed(
        fct_unit_costs_daily=[unit_cost(), unit_cost(usage_date=date(2026, 10, 21), full_cost_rc=None)],
    )
    assert table(page(tmp_path, filled), PRICES)[0]["Full USD per 1M tokens"] == "unknown"


def test_unobserved_hours_are_not_idle(tmp_path):
    """B19"""
    document = page(tmp_path)
    idle, unobserved = (headline_tiles(document)[title].text for title in ("GPUs, idle", "GPUs, unobserved"))
    assert "12.00 GPU-hours" in idle
    assert "$32.28 billed" in idle
    assert "2.00 GPU-hours" in unobserved
    assert "llama 2.00 h" in unobserved
    assert "stood idle for 12.00 of 48.00 GPU-hours; 2.00 more went unobserved" in says(document, "headline")


def test_the_states_sum_to_the_bill_printed_beside_them(tmp_path):
    """B13"""
    rows = table(page(tmp_path), STATES)
    parts = [line for line in rows if line["Deployment and state"] in ("serving", "loaded, idle", "unobserved")]
    whole, bill = row(rows, deployment="Sum of the states"), row(rows, deployment="The GPU bill")
    assert sum(Decimal(line["Billed USD"] or 0) for line in parts) == Decimal(whole["Billed USD"])
    assert whole["Billed USD"] == bill["Billed USD"] == "64.56"
    assert whole["Effective USD"] == bill["Effective USD"] == "29.40"
    assert whole["GPU-hours h"] == "48.00"


def test_bills_in_two_currencies_are_added_only_after_each_is_converted(tmp_path):
    """B23: 100 EUR at 1.25 beside 64.56 USD are 189.56 USD, not 164.56; without a rate the sum is not known."""
    filled = tables()
    filled["int_gpu_charges_daily"].append(charge(account="nord", billing_currency="EUR", realized_cost=Decimal(100)))
    filled["fct_gpu_costs_daily"].append(
        gpu_cost(account="nord", billing_currency="EUR", realized_cost=Decimal(100), realized_cost_rc=Decimal(125))
    )
    unknown = row(table(page(tmp_path / "unrated", filled), STATES), deployment="The GPU bill")
    assert unknown["Billed USD"] == "unknown"
    rate = {"usage_date": DAY, "currency": "EUR", "multiplier": 125, "divisor": 100}
    filled["int_fx_rates_daily"].append(rate)
    rows = table(page(tmp_path / "rated", filled), STATES)
    whole, bill = row(rows, deployment="Sum of the states"), row(rows, deployment="The GPU bill")
    assert whole["Billed USD"] == bill["Billed USD"] == "189.56"


def test_a_bill_that_its_states_do_not_sum_to_shows_the_difference(tmp_path):
    filled = changed(int_gpu_charges_daily=[charge(realized_cost=Decimal("64.560000000000000001"))])
    line = row(table(page(tmp_path, filled), BILLS), issuer="gpu-cloud")
    assert line["Bill in its currency"] == "64.560000000000000001"
    assert line["Difference in its currency"] == "−0.000000000000000001"


def test_lines_that_are_no_gpu_s_are_in_the_sum_and_have_no_hours(tmp_path):
    """B24"""
    filled = tables()
    filled["fct_gpu_costs_daily"].append(
        gpu_cost(state="tax", deployment_id=None, gpu_milliseconds=None, realized_cost=Decimal("5"))
    )
    rows = table(page(tmp_path, filled), STATES)
    assert row(rows, deployment="tax")["GPU-hours h"] == ""
    assert row(rows, deployment="Sum of the states")["Billed USD"] == "69.56"


def in_euros(**fields):
    """A cost of an account in Paris, billed in EUR."""
    return {
        **api_cost(account="paris", billed_cost=Decimal("500"), billing_currency="EUR", price_status="unconverted"),
        "billed_cost_rc": None,
        **fields,
    }


def test_money_of_another_currency_is_listed_with_a_total_of_its_own(tmp_path):
    """B23: beside the total in the reporting currency, never in it; an amount of the same team in that one stays."""
    filled = tables()
    filled["fct_api_costs_daily"] += [in_euros(), in_euros(billed_cost=Decimal("-20.5")), in_euros(account="acme")]
    document = page(tmp_path, filled)
    lines = table(document, SPEND)
    assert row(lines, account="paris")["Billed USD"] == "€479.50"
    assert row(lines, account="Sum of what is known")["Billed USD"] == "101.30"
    assert row(lines, account="Sum in EUR, not converted")["Billed USD"] == "€979.50"
    apart = table(document, "In no sum in USD: not converted, or without a price")
    assert [(line["Account"], line["Amount in its own currency"], line["Currency"]) for line in apart] == [
        ("acme", "500.00", "EUR"),
        ("paris", "479.50", "EUR"),
    ]
    assert "€479.50 billed by anthropic (no exchange rate)" in section(document, "headline").text


def test_gpu_money_of_another_currency_has_a_total_per_measure(tmp_path):
    """B23: billed and accrued francs add neither to dollars nor to each other."""
    filled = tables()
    for measure, amount in (("billed", "7"), ("accrued", "3")):
        filled["fct_gpu_costs_daily"].append(
            gpu_cost(cost_measure=measure, realized_cost=Decimal(amount), billing_currency="CHF", realized_cost_rc=None)
        )
    lines = table(page(tmp_path, filled), GPU_SPEND)
    apart = [line for line in lines if line["Issuer"] == "Sum in CHF, not converted"]
    assert [(line["Measure"], line["Cost USD"]) for line in apart] == [("billed", "7.00 CHF"), ("accrued", "3.00 CHF")]


def test_the_report_says_which_line_brings_exchange_rates(tmp_path):
    """B23: and, once there are rates, why these do not reach."""
    filled = tables()
    filled["fct_api_costs_daily"].append(in_euros())
    assert "- {source: ecb_rates, account: ecb}" in section(page(tmp_path, filled), "spend").text


def test_hours_without_a_rate_are_not_free(tmp_path):
    """B4"""
    filled = tables()
    filled["fct_gpu_costs_daily"].append(
        gpu_cost(deployment_id="qwen", cost_measure="accrued", realized_cost=None, gpu_milliseconds=hours(5))
    )
    document = page(tmp_path, filled)
    assert row(table(document, STATES), deployment="qwen")["Accrued USD"] == "unknown"
    assert row(table(document, STATES), deployment="Sum of the states")["Accrued USD"] == "unknown"
    assert "5.00 GPU-hours of gpu-cloud (no price)" in section(document, "headline").text


def test_tokens_metered_on_no_bill_are_counted_apart(tmp_path):
    """B24: the priority tier is metered and not in the cost report."""
    filled = tables()
    filled["fct_api_costs_daily"].append(
        {
            **api_cost(team="adhoc", attribution="metered_only", tokens=3_520_000, billed_cost=None),
            "list_cost_rc": None,
        }
    )
    document = page(tmp_path, filled)
    assert "3.52 million tokens were metered and are on no bill" in section(document, "spend").text
    assert row(table(document, SPEND), account="Sum")["Billed USD"] == "101.30"


def test_a_list_price_that_the_bill_states_of_a_search_leaves_the_tokens_theirs(tmp_path):
    """B24, B4: a search without a list price is not an unpriced token; one with it does not hide theirs."""
    filled = tables()
    search = {"charge_kind": "web_search", "token_class": None, "tokens": None, "price_status": "not_tokens"}
    filled["fct_api_costs_daily"] += [
        api_cost(**search, billed_cost=Decimal("0.03"), list_cost_rc=Decimal("0.03")),
        api_cost(**search, billed_cost=Decimal("0.05"), list_cost_rc=None),
    ]
    assert row(table(page(tmp_path, filled), SPEND), account="acme")["At list price USD"] == "100.03"


def test_an_empty_month_has_no_data_rather_than_zeros(tmp_path):
    document = page(tmp_path, {})
    assert says(document, "headline").startswith("No money is known for this month")
    assert not section(document, "headline").every("dl")
    assert "0.00" not in document.every("main")[0].text
    assert "31 days: no data at all" in document.every("header")[0].text


def test_a_month_that_is_not_over_says_so(tmp_path):
    document = page(tmp_path, month=date(2026, 11, 1))
    assert "The month is not over in this snapshot: figures reach 2026-11-05 06:00:00 UTC" in document.text


# What it refuses


def unproven(document, caption):
    return {next(iter(line.values())) for line in table(document, caption) if "not proven" in next(iter(line.values()))}


def test_a_law_broken_on_one_account_refuses_that_account_and_no_other(tmp_path):
    document = page(tmp_path, changed(check_money_is_conserved=[broken("money_is_conserved", "account:acme")]))
    assert unproven(document, SPEND) == {"acme not proven: money_is_conserved", "Sum not proven: money_is_conserved"}
    assert unproven(document, GPU_SPEND) == unproven(document, STATES) == unproven(document, INVOICES) == set()
    assert unproven(document, PRICES) == {"claude-haiku-4-5 not proven: money_is_conserved"}
    assert unproven(document, VERDICTS) == {"chat not proven: money_is_conserved"}
    assert "1 law is broken" in document.every("header")[0].text
    mark = "(not proven: money_is_conserved)"
    assert f"$101.30 billed for the API {mark}, $64.56 billed for GPUs and" in says(document, "headline")
    assert says(document, "spend").endswith(f"claude-haiku-4-5 of acme, $90.10 {mark}.")
    assert mark not in says(document, "waste")
    assert row(table(document, LAWS), result="broken")["What is so"] == "the parts say 1, the whole 2."


def test_a_law_broken_on_one_host_refuses_what_ran_there_and_not_its_bill(tmp_path):
    document = page(tmp_path, changed(check_gpu_time_is_conserved=[broken("gpu_time_is_conserved", "host:node-1")]))
    mark = "not proven: gpu_time_is_conserved"
    assert unproven(document, STATES) == {f"llama {mark}", f"Sum of the states {mark}"}
    assert unproven(document, PRICES) == {f"llama-3.3-70b {mark}"}
    assert unproven(document, VERDICTS) == {f"chat {mark}"}
    assert unproven(document, GPU_SPEND) == unproven(document, SPEND) == set()


def test_a_law_broken_on_a_workload_refuses_its_verdict_alone(tmp_path):
    document = page(tmp_path, changed(check_money_is_conserved=[broken("money_is_conserved", "workload:lab")]))
    assert unproven(document, VERDICTS) == {"lab not proven: money_is_conserved"}
    assert not unproven(document, STATES) | unproven(document, PRICES)


def test_a_law_broken_on_a_workload_refuses_what_its_team_spent_and_not_the_account_s_sum(tmp_path):
    """B12: traffic that two workloads claim is in the account's bill whole, and in neither team's."""
    filled = tables()
    filled["fct_api_costs_daily"].append(api_cost(team="research", workload="papers", billed_cost=Decimal("1.00")))
    filled["check_money_is_conserved"] = [broken("one_workload_per_cell", "workload:papers")]
    document = page(tmp_path, filled)
    marked = [line for line in table(document, SPEND) if "not proven" in line["Account"]]
    assert [(line["Team"], line["Billed USD"]) for line in marked] == [("research", "1.00")]


def test_a_workload_an_account_and_a_deployment_of_one_name_are_three_scopes(tmp_path):
    """What is broken for one of them says nothing of the others."""
    filled = changed(fct_api_costs_daily=[api_cost(account="llama"), api_cost(workload="llama", account="labs")])
    found = {}
    for scope in ("account:llama", "workload:llama", "deployment:llama"):
        filled["check_money_is_conserved"] = [broken("money_is_conserved", scope)]
        document = page(tmp_path, filled)
        found[scope] = [
            {line.split(" not proven")[0] for line in unproven(document, caption)}
            for caption in (SPEND, PRICES, VERDICTS)
        ]
    assert found == {
        "account:llama": [{"llama", "Sum"}, {"claude-haiku-4-5"}, {"chat"}],
        "workload:llama": [{"labs"}, set(), set()],
        "deployment:llama": [set(), {"llama-3.3-70b"}, {"chat"}],
    }


@pytest.mark.parametrize("scope", ["None", "llama", "team:support"])
def test_a_scope_that_no_figure_names_refuses_every_figure(tmp_path, scope):
    """A check that cannot say where it is broken must not be the one that silences nobody."""
    document = page(tmp_path, changed(check_money_is_conserved=[broken("money_is_conserved", scope)]))
    for caption in (SPEND, GPU_SPEND, STATES, VERDICTS, PRICES):
        assert unproven(document, caption), caption


def test_a_law_broken_everywhere_refuses_everything(tmp_path):
    document = page(tmp_path, changed(check_money_is_conserved=[broken("money_is_conserved", "all")]))
    mark = "not proven: money_is_conserved"
    assert all(mark in next(iter(line.values())) for line in table(document, SPEND) + table(document, VERDICTS))


def test_laws_that_held_are_listed(tmp_path):
    document = page(tmp_path)
    assert says(document, "laws") == "Every law held in this snapshot: 2 of 2."
    assert [line["Result"] for line in table(document, LAWS)] == ["held", "held"]


# Verdicts


def facts(document, workload):
    card = next(found for found in document.every("article") if found.every("h3")[0].text.startswith(workload))
    return {fact.every("dt")[0].text: fact.every("dd")[0].text for fact in card.every("dl")[0].every("div")}


def test_a_verdict_is_told_with_its_reasons_and_its_costs(tmp_path):
    document = page(tmp_path)
    card = section(document, "verdicts").every("article")[0]
    assert card.every("p")[0].text == (
        "Move to self-hosting. Demand is 1.11 times the first break-even volume. "
        "Replica 1 would displace 90 of API cost for 64 of rent. Day 1 of 7."
    )
    told = facts(document, "chat")
    assert told["All self-hosted"] == "$4,167.69 (1 replica)"
    assert told["Best mix"] == "$3,885.76 (0 replicas)"
    assert told["Margin of a full replica"] == "$15,314.45"
    assert told["First break-even"] == told["Stays cheaper from"] == "128.06 million tokens a day"
    assert told["Costs are of"] == "20 settled days from 1 Oct 2026"


def test_the_verdict_is_of_the_newest_settled_day(tmp_path):
    """B28: an open day has no verdict to tell."""
    later = verdict(
        usage_date=date(2026, 10, 22), status="not_settled", demand_tokens_per_day=None, recommendation=None
    )
    filled = changed(fct_verdicts_daily=[verdict(), later])
    assert facts(page(tmp_path, filled), "chat")["Verdict of"] == "20 Oct 2026, UTC; 2 later days not settled"


def test_a_verdict_of_another_month_is_not_told(tmp_path):
    filled = changed(fct_verdicts_daily=[verdict(usage_date=date(2026, 11, 2))])
    assert says(page(tmp_path, filled), "verdicts") == "No workload has a verdict in this month."


def test_no_break_even_is_an_answer_and_unknown_is_not(tmp_path):
    """Finding 1 of economics.md: two published break-evens exist at no volume."""
    never = verdict(
        breakeven_first_tokens_per_day=None,
        breakeven_stable_tokens_per_day=None,
        breakeven_crossing_count=0,
        breakeven_utilization_ratio=7.0,
        demand_ratio=None,
    )
    unknown = verdict(
        workload="lab",
        status="prices_only",
        recommendation=None,
        api_only_cost_rc=None,
        breakeven_first_tokens_per_day=None,
        breakeven_crossing_count=None,
    )
    document = page(tmp_path, changed(fct_verdicts_daily=[never, unknown]))
    assert facts(document, "chat")["First break-even"] == "none: at no volume"
    assert facts(document, "chat")["A replica pays from"] == "700.0% of its capacity: never"
    assert "First break-even" in facts(document, "lab")["Not known"]
    assert row(table(document, VERDICTS), workload="lab")["Recommendation"] == "prices only"


def test_an_observed_capacity_is_said_to_be_at_least(tmp_path):
    """B26"""
    seen = verdict(capacity_basis="at_least", capacity_source="best observed hour")
    told = facts(page(tmp_path, changed(fct_verdicts_daily=[seen])), "chat")
    assert told["Capacity of a replica"] == "at least 24.24 million tokens an hour, best observed hour"


def test_a_verdict_says_at_which_grain_its_demand_is_known(tmp_path):
    """B8: hours that are a gateway's, days without any; peaks inside the hour measured or assumed."""
    chat = {"usage_date": DAY, "workload": "chat"}
    days = [
        {**chat, "usage_date": DAY - timedelta(days=back), "evidence": evidence}
        for back, evidence in enumerate(("gateway_shape", "gateway_shape", "daily", "hourly"))
    ]
    measured = {
        **chat,
        "peak_allowance_ratio": Decimal("0.625"),
        "peak_allowance_basis": "measured",
        "measured_allowance_ratio": Decimal("0.625"),
        "week_from_date": date(2026, 10, 12),
        "week_served_hours_count": 168,
        "week_minute_hours_count": 160,
    }
    told = facts(page(tmp_path / "1", changed(fct_demand_daily=days, fct_peak_allowances_daily=[measured])), "chat")
    assert told["Hours of demand"] == (
        "2 days have their hours from a gateway's log, the sum from the bill's meter; 1 day known as a sum; "
        "of 4 days with demand"
    )
    assert told["Peaks inside the hour"] == (
        "62.5% of a replica-hour may be filled, measured: week from 2026-10-12, 160 of 168 hours read once a minute"
    )
    assumed = {**measured, "peak_allowance_ratio": Decimal("0.85"), "peak_allowance_basis": "assumed", "reason": "few"}
    told = facts(page(tmp_path / "2", changed(fct_peak_allowances_daily=[assumed])), "chat")
    assert told["Peaks inside the hour"].startswith(
        "85.0% of a replica-hour may be filled, assumed: few; measured 62.5%: week from 2026-10-12"
    )
    assert "Hours of demand" not in told


def test_every_workload_is_in_the_table_when_there_are_too_many_to_draw(tmp_path):
    many = [verdict(workload=f"w-{number:03}", saving_rc_per_month=Decimal(number)) for number in range(30)]
    document = page(tmp_path, changed(fct_verdicts_daily=many))
    assert len(table(document, VERDICTS)) == 30
    drawn = [found.every("h3")[0].text for found in document.every("article")]
    assert drawn == [f"w-{number:03}" for number in range(6, 30)]
    assert "Charts are of the 24 workloads with most at stake" in document.text


# Trust


def test_an_invoice_that_does_not_tie_shows_its_residual(tmp_path):
    invoice = {**tables()["fct_reconciliation_invoice"][0], "payable_cost": Decimal("70"), "status": "residual"}
    invoice["residual_cost"] = Decimal("5.44")
    document = page(tmp_path, changed(fct_reconciliation_invoice=[invoice]))
    line = table(document, INVOICES)[0]
    assert (line["Residual in its currency"], line["Result"]) == ("5.44", "does not tie")
    assert line["Period, UTC"] == "1 Oct 2026 to 31 Oct 2026"
    assert says(document, "reconciliation") == "1 invoice of 1 does not add up to its stated total."


def test_an_invoice_in_yen_has_no_decimals(tmp_path):
    """B23: amounts are written in the minor units of their own currency."""
    invoice = {**tables()["fct_reconciliation_invoice"][0], "billing_currency": "JPY", "payable_cost": Decimal("9000")}
    line = table(page(tmp_path, changed(fct_reconciliation_invoice=[invoice])), INVOICES)[0]
    assert (line["Currency"], line["Payable in its currency"]) == ("JPY", "9,000")


def test_a_cloud_bill_is_shown_whole_and_a_control_beside_it_without_a_difference(tmp_path):
    """B19, B22: nothing of it is dropped; the control is told and summed nowhere; what is not said is unknown.

    A control that states a day less than the book differs by that day's money: the section of controls compares days.
    """
    charge = {
        "usage_date": DAY,
        "issuer": "aws",
        "account": "cloud",
        "source": "aws_cur2",
        "billing_currency": "USD",
        "is_book": True,
        "is_gpu_resource": False,
        "billed_cost": Decimal("10"),
        "effective_cost": Decimal("10"),
    }
    charges = [
        {**charge, "is_gpu_resource": True, "billed_cost": Decimal(0), "effective_cost": Decimal("3")},
        {**charge, "commitment_discount_status": "Unused", "billed_cost": Decimal(0), "effective_cost": Decimal("2")},
        {**charge, "usage_date": date(2026, 11, 1), "billed_cost": Decimal("99")},
        charge,
        {**charge, "source": "focus", "is_book": False, "billed_cost": Decimal("9.25"), "effective_cost": None},
    ]
    document = page(tmp_path, changed(fct_cloud_charges_daily=charges))
    book, control = table(document, "Cloud bills, whole")
    assert list(book.values()) == [
        "cloud",
        "aws_cur2",
        "the book of record",
        "USD",
        "10.00",
        "15.00",
        "3.00",
        "2.00",
    ]
    assert list(control.values())[1:3] == ["focus", "a control: not summed"]
    assert list(control.values())[4:] == ["9.25", "unknown", "0.00", "unknown"]
    law = {"check_money_is_conserved": [broken("money_is_conserved", "issuer:aws")]}
    refused = page(tmp_path, changed(fct_cloud_charges_daily=charges, **law))
    assert unproven(refused, "Cloud bills, whole") == {"cloud not proven: money_is_conserved"}


def _control(day: date, book: str, control: str | None, status: str = "compared") -> dict[str, object]:
    amounts = (Decimal(book), None if control is None else Decimal(control))
    return {
        "usage_date": day,
        "issuer": "anthropic",
        "account": "acme",
        "book_source": "anthropic_cost_api",
        "control_source": "anthropic_console_csv",
        "control_account": "acme",
        "control_measure": "billed",
        "model": "claude-haiku-4-5",
        "billing_currency": "USD",
        "status": status,
        "book_cost": amounts[0],
        "control_cost": amounts[1],
        "difference_cost": amounts[1] - amounts[0] if status == "compared" and amounts[1] is not None else None,
    }


def test_of_a_control_that_cannot_be_compared_nobody_says_that_it_agrees(tmp_path):
    """B9, B22: on no day do both speak."""
    filled = changed(fct_control_differences_daily=[_control(DAY, "3", None, "book_only")])
    said = section(page(tmp_path, filled), "controls").text
    assert "No control can be compared with its book of record" in said
    assert "differ." not in said


def test_differences_that_make_up_for_each_other_are_not_called_none(tmp_path):
    """B22: a dollar more on one day and less on the next is an equal sum, and not an equal bill."""
    filled = changed(
        fct_control_differences_daily=[_control(DAY, "3", "4"), _control(DAY.replace(day=DAY.day + 1), "3", "2")]
    )
    said = section(page(tmp_path, filled), "controls").text
    assert "1 control compared with the book of record: over these days the sums are equal." in said


def test_up_to_when_each_source_of_invoices_has_billed_is_told(tmp_path):
    """B10, B19: an invoice is of no day: no day of it is missing, and its source is not silent since."""
    (first,) = tables()["fct_reconciliation_invoice"]
    earlier = {
        **first,
        "invoice_id": "INV-9",
        "status": "residual",
        "period_start_date": date(2026, 9, 1),
        "period_end_date": date(2026, 10, 1),
    }
    sources = tables()["dim_source"]
    sources += [{**sources[1], "account": "new-cloud", "issuer": "new-cloud"}]
    totals = [{"source": "invoice_csv", "account": "gpu-cloud", "invoice_id": name} for name in ("INV-9", "INV-10")]
    invoices = {"fct_reconciliation_invoice": [earlier, first], "stg_gpu_bills__totals": totals}
    document = page(tmp_path, changed(**invoices, dim_source=sources))
    known, silent = table(document, "Invoices that have come, whatever the month")
    assert (known["Invoices"], known["Last invoice"], known["Lines"], known["Its total"]) == (
        "2",
        "INV-10",
        "3",
        "ties",
    )
    assert known["Its period, UTC"] == "1 Oct 2026 to 31 Oct 2026"
    assert (silent["Account"], silent["Invoices"], silent["Its total"]) == ("new-cloud", "0", "none has come")
    assert "1 invoice in all whose lines do not add up" in section(document, "coverage").text
    assert {line["Source"] for line in table(document, COVERAGE)} == {"anthropic_cost_api"}
    assert says(document, "coverage") == "Every day is covered by each of 1 dataset; no file is in quarantine."


def test_gaps_silence_and_quarantine_are_named(tmp_path):
    """B19: missing and blocked days by their dates."""
    days = tables()["fct_source_coverage_daily"]
    for place, status in ((4, "missing"), (5, "missing"), (9, "missing")):
        days[place] = {**days[place], "status": status}
    days[20] = {**days[20], "is_blocked": True}
    sources = [
        {**tables()["dim_source"][0], "silent_since_date": date(2026, 11, 2)},
        {"source": "nvml_spool", "account": "fleet", "dataset": None},
    ]
    entry = QuarantineEntry("invoice_csv", "gpu-cloud", "nov.csv", "0" * 64, "row 3: amount is 'abc'")
    document = page(tmp_path, changed(fct_source_coverage_daily=days, dim_source=sources), quarantined=[entry])
    gaps = [(line["What"], line["From"], line["To"], line["Days"]) for line in table(document, "Gaps")]
    assert gaps == [
        ("missing", "5 Oct 2026", "6 Oct 2026", "2"),
        ("missing", "10 Oct 2026", "10 Oct 2026", "1"),
        ("blocked", "21 Oct 2026", "21 Oct 2026", "1"),
    ]
    covered = table(document, COVERAGE)
    assert [line["Silent since UTC"] for line in covered] == ["2 Nov 2026", "the start"]
    assert table(document, "In quarantine: kept, not counted")[0]["Why"] == "row 3: amount is 'abc'"
    assert says(document, "coverage") == (
        "3 source-days missing, 1 source-day blocked, 1 dataset silent (anthropic_cost_api of acme), "
        "1 source never heard (nvml_spool of fleet) and 1 file in quarantine."
    )


def test_what_is_not_used_of_a_source_that_delivers_is_no_gap(tmp_path):
    """B19: OpenAI has a dataset an endpoint, and few organizations use them all."""
    never = [
        {"source": "anthropic_cost_api", "account": account, "dataset": dataset}
        for account, dataset in (("acme", "images"), ("acme", "videos"), ("other", "images"))
    ]
    document = page(tmp_path, changed(dim_source=[tables()["dim_source"][0], *never]))
    told = [(line["Account"], line["Dataset"], line["Silent since UTC"]) for line in table(document, COVERAGE)]
    assert told == [
        ("acme", "cost_report", "up to date"),
        ("other", "images", "the start"),
        ("acme", "2 more, never used", "—"),
    ]
    assert says(document, "coverage") == "1 source never heard (anthropic_cost_api of other)."


def test_leftovers_of_the_join_are_lines(tmp_path):
    """B12"""
    leftover = {
        "usage_date": DAY,
        "kind": "billed_never_seen",
        "issuer": "gpu-cloud",
        "resource_id": "i-9",
        "gpu_milliseconds": hours(96),
    }
    line = table(page(tmp_path, changed(fct_gpu_leftovers_daily=[leftover])), "What joins to nothing")[0]
    assert (line["What"], line["Resource"], line["GPU-hours h"]) == ("billed, never seen", "i-9", "96.00")


def test_what_is_declared_and_no_longer_billed_is_to_be_given_an_end(tmp_path):
    """B17: since the first day without it, whichever month that was in; a gap before does not count."""
    days = [date(2026, 9, 3), *(date(2026, 9, day) for day in range(20, 31)), date(2026, 10, 1), date(2026, 10, 2)]
    leftovers = [
        {"usage_date": day, "kind": "no_longer_billed", "issuer": "gpu-cloud", "resource_id": "i-9", "host": "node-9"}
        for day in days
    ]
    (line,) = table(page(tmp_path, changed(fct_gpu_leftovers_daily=leftovers)), "What joins to nothing")
    assert line["What"] == "no longer on the bill since 20 Sep 2026: give it a `to`"
    assert (line["Resource"], line["Days"], line["GPU-hours h"]) == ("i-9", "2", "—")


# Writing it


@pytest.fixture
def project(tmp_path):
    (tmp_path / "breakeven.yaml").write_text("company: Acme\nreporting_currency: USD\n")
    found = Project(tmp_path)
    found.land_config(AS_OF)
    return found


def test_the_report_is_swapped_in_whole_and_leaves_nothing_beside_it(project, tmp_path):
    target = project.paths.reports / "2026-10.html"
    target.parent.mkdir(parents=True)
    target.write_text("an older one")
    snapshot = snapshot_of(tables(), tmp_path / "cache")
    assert write_report(project, snapshot, month="2026-10", now=AS_OF) == target
    assert [path.name for path in target.parent.iterdir()] == ["2026-10.html"]
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_later_edit_of_the_configuration_does_not_change_the_report_of_an_old_snapshot(project, tmp_path):
    """B6: names and currency are those that had landed by then."""
    snapshot = snapshot_of(tables(), tmp_path / "cache")
    first = write_report(project, snapshot, month="2026-10", now=AS_OF).read_bytes()
    (tmp_path / "breakeven.yaml").write_text("company: Other\nreporting_currency: EUR\n")
    later = Project(tmp_path)
    later.land_config(AS_OF.replace(day=6))
    assert write_report(later, snapshot, month="2026-10", now=AS_OF).read_bytes() == first


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "october", "../2026-10", "0000-01"])
def test_what_is_not_a_month_is_refused(project, tmp_path, month):
    with pytest.raises(BreakevenError, match="is not a month"):
        write_report(project, snapshot_of(tables(), tmp_path / "cache"), month=month, now=AS_OF)
    assert not project.paths.reports.exists()


def test_a_month_that_has_not_begun_is_refused(project, tmp_path):
    with pytest.raises(BreakevenError, match="begins after 2026-11-05"):
        write_report(project, snapshot_of(tables(), tmp_path / "cache"), month="2026-12", now=AS_OF)


def test_december_ends_with_the_year(project, tmp_path):
    text = html(tmp_path, month=date(2025, 12, 1))
    assert "1 Dec 2025 to 31 Dec 2025" in text
