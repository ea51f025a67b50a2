"""`whatif`: verdicts and a month's bill with some inputs supposed, by the functions that make them."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from pipeline.build.snapshot import Snapshot
from pipeline.cli.options import (
    as_of_option,
    console,
    open_project,
    print_table,
    project_option,
    snapshot_for,
)
from pipeline.config.whole import Config
from pipeline.decisions.counterfactual_bill import BillLine, CounterfactualBill, counterfactual_bill, no_such_workload
from pipeline.decisions.graph import config_of
from pipeline.decisions.offers import Compared, Offers, compare, daily_history, read_offers
from pipeline.decisions.price_falls import LOOKED_AHEAD_MONTHS, PriceFall
from pipeline.decisions.price_falls import price_fall as price_fall_of
from pipeline.decisions.supposing import SUPPOSED_DEPLOYMENT, Amount, Supposed, WhatIfError
from pipeline.decisions.what_if import Case, Outcome, outcomes, verdict_case
from pipeline.economics.exact import to_places
from pipeline.errors import BreakevenError
from pipeline.formats import currency as currencies
from pipeline.formats.writing import printable
from pipeline.reports.questions import Questions
from pipeline.reports.words import money, plain

# No amount of anything has more digits, and Python reads no number of thousands of them.
_DIGITS = r"\d{1,18}(?:\.\d{1,18})?"
_PERCENT = re.compile(rf"^([+-]{_DIGITS})%$", re.ASCII)
_TIMES = re.compile(rf"^x({_DIGITS})$", re.ASCII)
_FALL = re.compile(rf"^({_DIGITS})%$", re.ASCII)
_NUMBER = re.compile(rf"^{_DIGITS}$", re.ASCII)


class _AmountType(click.ParamType[Amount]):
    """`2.10` instead, `-20%` or `x0.8` of what it is."""

    name = "AMOUNT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Amount:
        found = _amount(value)
        if found is None:
            self.fail(f"{value!r} is neither an amount (2.10) nor a change (-20%, +10%, x0.8).", param, ctx)
        return found


class _PriceType(click.ParamType[tuple[str, Amount]]):
    """`-20%` of every class, `output=12` per million tokens of one, `output=-20%`."""

    name = "[CLASS=]AMOUNT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Amount]:
        name, _, text = value.rpartition("=")
        found = _amount(text)
        if found is None:
            self.fail(f"{value!r} is no price: write -20%, x0.8, output=12 or output=-20%.", param, ctx)
        if not name and found.absolute is not None:
            self.fail(f"{value!r} names no token class: prices are per class, as output={value}.", param, ctx)
        return name, found


class _FactorType(click.ParamType[Fraction]):
    """`x2` or `+50%` of the traffic."""

    name = "TIMES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        found = _amount(value)
        if found is None or found.absolute is not None:
            self.fail(f"{value!r} is no change of a volume: write x2, +50% or -20%.", param, ctx)
        return found.factor


class _ShareType(click.ParamType[tuple[str, Fraction]]):
    """`output=0.3`: a class and its share of the tokens."""

    name = "CLASS=SHARE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Fraction]:
        name, _, text = value.partition("=")
        if not name or not _NUMBER.match(text) or not Fraction(text) <= 1:
            self.fail(f"{value!r} is no share: write output=0.3.", param, ctx)
        return name, Fraction(text)


class _PositiveType(click.ParamType[Decimal]):
    name = "NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        if not _NUMBER.match(str(value)) or not Decimal(value):
            self.fail(f"{value!r} is not a number above zero, like 1.2.", param, ctx)
        return Decimal(value)


class _FallType(click.ParamType[Fraction]):
    """`30%`: of a price, a year."""

    name = "PERCENT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        found = _FALL.match(str(value))
        if found is None or not Fraction(found[1]) < 100:
            self.fail(f"{value!r} is no fall of a price: write 30%, below 100%.", param, ctx)
        return Fraction(found[1]) / 100


class _DayType(click.ParamType[date]):
    name = "DATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a date like 2026-11-01.", param, ctx)


def _amount(text: str) -> Amount | None:
    percent, times = _PERCENT.match(text), _TIMES.match(text)
    if percent is not None:
        factor = 1 + Fraction(percent[1]) / 100
        return None if factor < 0 else Amount(factor=factor)
    if times is not None:
        return Amount(factor=Fraction(times[1]))
    return Amount(absolute=Fraction(text)) if _NUMBER.match(text) else None


@click.command()
@click.argument("workload", required=False)
@project_option
@as_of_option
@click.option("--price", "prices", multiple=True, type=_PriceType(), help="API price: -20%, output=12 (per 1M).")
@click.option("--prices-as-of", type=_DayType(), help="API prices and contracts of another day, to come or past.")
@click.option("--price-fall", type=_FallType(), help="API prices fall by so much a year: when replicas stop paying.")
@click.option("--gpu-hour", type=_AmountType(), help="What a GPU-hour costs.")
@click.option("--gpu", metavar="TYPE", help="Another GPU, as gpu_types has it; its throughput is unknown unless said.")
@click.option("--gpus-per-replica", type=click.IntRange(1, 1024), help="GPUs that serve one copy.")
@click.option("--parameters-billions", type=_PositiveType(), help="Of the model: for the ceiling of a GPU type.")
@click.option("--tokens-per-second", type=_PositiveType(), help="What a replica sustains, all classes together.")
@click.option("--volume", type=_FactorType(), help="Times the traffic.")
@click.option("--mix", "mix", multiple=True, type=_ShareType(), help="A class's share of the tokens; all of them.")
@click.option("--overhead", type=_AmountType(), help="Overheads of a month, all together.")
@click.option("--self-tokens-per-api-token", type=_PositiveType(), help="Own tokens that an API token's task takes.")
@click.option("--movable-share", type=_PositiveType(), help="Share of the traffic that may move at all.")
@click.option(
    "--offers",
    "offers_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of offers to compare for WORKLOAD.",
)
@click.option("--day", type=_DayType(), help="Of which day the verdicts are. [default: the newest settled one]")
@click.option("--month", metavar="YYYY-MM", help="Whose bill is compared. [default: the last whole one]")
@click.option("--format", "output_format", type=click.Choice(["table", "json"]), default="table", show_default=True)
def whatif(
    workload: str | None,
    folder: Path | None,
    as_of: str | None,
    prices: Sequence[tuple[str, Amount]],
    prices_as_of: date | None,
    price_fall: Fraction | None,
    gpu_hour: Amount | None,
    gpu: str | None,
    gpus_per_replica: int | None,
    parameters_billions: Decimal | None,
    tokens_per_second: Decimal | None,
    volume: Fraction | None,
    mix: Sequence[tuple[str, Fraction]],
    overhead: Amount | None,
    self_tokens_per_api_token: Decimal | None,
    movable_share: Decimal | None,
    offers_file: Path | None,
    day: date | None,
    month: str | None,
    output_format: str,
) -> None:
    """What would flip if a price, a rate, GPUs, traffic or overheads were others. Nothing is landed.

    Of every workload, or of WORKLOAD alone, with its bill of a month: as it was, and with 0..N replicas. Amounts are in
    the reporting currency. All that is supposed holds at once; what is not supposed is as the verdict has it.

    \b
    Examples:
      breakeven whatif --price -30%                        which workloads a cheaper API would turn
      breakeven whatif --prices-as-of 2027-01-01           ... and the prices that breakeven.yaml says come then
      breakeven whatif --price-fall 40%                    how long replicas pay while API prices fall
      breakeven whatif support-chat --volume x3 --gpu-hour 1.95
      breakeven whatif support-chat --mix input_uncached=0.5 --mix output=0.5
      breakeven whatif coding --gpu H200-SXM --gpu-hour 3.80 --tokens-per-second 2400 --overhead 6000
      breakeven whatif support-chat --month 2026-10        the bill of October with 0..N replicas
      breakeven whatif support-chat --offers offers.yaml   reservations, spot, purchases, API commitments

    \b
    offers.yaml, in the reporting currency:
      horizon_months: 12
      offers:
        - {offer: on demand, kind: on_demand, gpu_hour: 2.69}
        - {offer: spot, kind: spot, gpu_hour: 1.30, interruption_share: 0.08}
        - {offer: one year, kind: reservation, gpu_hour: 1.90, months: 12, upfront: 0.5}
        - {offer: own box, kind: purchase, price: 240000, gpus: 8, months: 48, residual: 20000, running_monthly: 1500}
        - {offer: API deal, kind: api_commitment, commitment: 20000, per: month, discount: 0.15, months: 12}
    """
    supposed = Supposed(
        api_prices=dict(prices),
        price_day=prices_as_of,
        gpu_hour=gpu_hour,
        gpu=gpu,
        gpus_per_replica=gpus_per_replica,
        parameters_billions=parameters_billions,
        tokens_per_second=tokens_per_second,
        volume=volume,
        mix=_whole_mix(mix),
        overheads=overhead,
        self_tokens_per_api_token=_fraction(self_tokens_per_api_token),
        movable_share=_share(movable_share),
    )
    if offers_file is not None and workload is None:
        raise click.UsageError("Offers are compared for one workload: breakeven whatif WORKLOAD --offers FILE.")
    offers = None if offers_file is None else read_offers(offers_file)
    if supposed.is_nothing and workload is None and price_fall is None:
        raise click.UsageError("Suppose something, like --price -20%, or name a workload to see its bill. See --help.")
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    config = config_of(project, snapshot)
    case = verdict_case(project, snapshot, day or newest_settled(snapshot))
    if workload is not None and workload not in {row["workload"] for row in case.workloads()}:
        raise no_such_workload(workload, case)
    found = outcomes(case, supposed, only=workload)
    falls = None if price_fall is None else _falls(found, case, price_fall)
    bill = None
    if workload is not None:
        from_date, to_date = _month(month, case)
        bill = counterfactual_bill(
            project, snapshot, workload=workload, from_date=from_date, to_date=to_date, supposed=supposed
        )
    compared = None if offers is None or bill is None else _compared(offers, bill, snapshot)
    if output_format == "json":
        click.echo(json.dumps(_as_json(case, supposed, found, falls, bill, compared, config), indent=2))
        return
    if not supposed.is_nothing:
        _print_outcomes(found, config, case)
    if price_fall is not None:
        _print_falls(falls or [], config, price_fall)
    if bill is not None:
        _print_bill(bill, config)
    if compared is not None:
        _print_offers(compared, config)


def _compared(offers: Offers, bill: CounterfactualBill, snapshot: Snapshot) -> Compared:
    if isinstance(bill.grounds, str) or bill.deployment is None:
        raise WhatIfError(
            f"No offer can be weighed for {bill.workload}: {bill.plans_reason}. What is unknown can be supposed: "
            "--tokens-per-second with --gpu-hour, --price CLASS=AMOUNT, or another --month."
        )
    last = bill.to_date - timedelta(days=1)
    return compare(
        offers,
        bill.grounds,
        gpus_per_replica=int(bill.deployment["gpus_per_replica"]),
        days=bill.days,
        history=daily_history(snapshot, bill.workload, last_day=last),
        last_day=last,
        has_gpus=bill.deployment["deployment_id"] != SUPPOSED_DEPLOYMENT,
    )


def _whole_mix(mix: Sequence[tuple[str, Fraction]]) -> dict[str, Fraction] | None:
    shares = dict(mix)
    if len(shares) < len(mix):
        raise click.BadParameter("A class is given twice.", param_hint="--mix")
    if shares and sum(shares.values()) != 1:
        total = float(sum(shares.values()))
        raise click.BadParameter(f"The shares add up to {total:g}, not to 1: give every class.", param_hint="--mix")
    return shares or None


def _share(share: Decimal | None) -> Fraction | None:
    if share is not None and share > 1:
        raise click.BadParameter(f"{share} is more than all of it: pass at most 1.", param_hint="--movable-share")
    return _fraction(share)


def _fraction(value: Decimal | None) -> Fraction | None:
    return None if value is None else Fraction(value)


def newest_settled(snapshot: Snapshot) -> date:
    """The newest day that any workload has a verdict of."""
    with Questions(snapshot) as questions:
        [row] = questions.select(
            "select max(usage_date) as day from fct_verdicts_daily where status != 'not_settled'"
        ).to_dicts()
    if row["day"] is None:
        raise BreakevenError(
            "No day of any workload is settled yet, so there is no verdict to change. Ask: breakeven verdict"
        )
    newest: date = row["day"]
    return newest


def _month(text: str | None, case: Case) -> tuple[date, date]:
    """[first day, first day after] of the month asked for, else of the last one that is over on the case's day."""
    if text is None:
        next_month = (case.day + timedelta(days=1)).replace(day=1)
        return (next_month - timedelta(days=1)).replace(day=1), next_month
    try:
        first = date.fromisoformat(f"{text}-01")
        return first, (first + timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is not a month like 2026-10.", param_hint="--month") from None


_SHOWN = (
    ("status", "status"),
    ("recommendation", "recommendation"),
    ("best_replica_count", "replicas"),
    ("api_price_rc_per_mtok", "API per 1M"),
    ("gpu_hour_rate_rc", "GPU-hour"),
    ("best_cost_rc", "best mix"),
    ("saving_rc_per_month", "saves a month"),
    ("breakeven_first_tokens_per_day", "break-even tokens a day"),
)


def _print_outcomes(found: Sequence[Outcome], config: Config, case: Case) -> None:
    out = console()
    rows = [
        [str(outcome.after["workload"]), title, *(_shown(outcome_row[name], name, config) for outcome_row in sides)]
        for outcome in found
        for sides in [(outcome.before, outcome.after)]
        for name, title in _SHOWN
        if outcome.before[name] != outcome.after[name] or name == "recommendation"
    ]
    print_table(("workload", "", "as it is", "supposed"), rows, f"What if, on {case.day}, {config.reporting_currency}")
    flipped = [outcome for outcome in found if outcome.is_flipped]
    for outcome in flipped:
        before, after = answer_of(outcome.before), answer_of(outcome.after)
        why = f" {outcome.after['reason']}" if outcome.after["reason"] else ""
        out.print(printable(f"FLIPS {outcome.after['workload']}: {before} -> {after}.{why}"), markup=False)
    if not flipped:
        out.print("Nothing flips." if found else "No workload is declared.")


def _falls(found: Sequence[Outcome], case: Case, yearly_fall: Fraction) -> list[PriceFall]:
    workloads = {row["workload"]: row for row in case.workloads()}
    falls = (price_fall_of(one.after, workloads[one.after["workload"]], yearly_fall=yearly_fall) for one in found)
    return [fall for fall in falls if fall is not None]


def _print_falls(falls: Sequence[PriceFall], config: Config, yearly_fall: Fraction) -> None:
    out, currency = console(), config.reporting_currency
    out.print(f"While API prices fall by {float(yearly_fall * 100):g}% a year:")
    for fall in falls:
        out.print(printable(f"  {_said_of_fall(fall, currency)}"), markup=False)
    if not falls:
        out.print("  No verdict has replicas that they could stop paying.")


def _said_of_fall(fall: PriceFall, currency: str) -> str:
    count = f"{fall.replicas} replica{'' if fall.replicas == 1 else 's'}"
    own, api = (currencies.money(to_places(cost, 2), currency) for cost in (fall.self_host_cost, fall.api_cost))
    if fall.saves_months is None:
        until = f"still saves after {LOOKED_AHEAD_MONTHS} months"
    else:
        until = f"saves for {fall.saves_months} month{'' if fall.saves_months == 1 else 's'}"
    once = "" if not fall.payback.one_off else f" {fall.payback.explanation}"
    return f"{fall.workload}: {count} for {own} a month, in the place of {api} of API at today's price, {until}.{once}"


def _fall_json(fall: PriceFall) -> dict[str, Any]:
    return {
        "workload": fall.workload,
        "replicas": fall.replicas,
        "api_cost_rc_per_month": plain(to_places(fall.api_cost, 18)),
        "self_host_cost_rc_per_month": plain(to_places(fall.self_host_cost, 18)),
        "saves_months": fall.saves_months,
        "one_off_rc": plain(fall.payback.one_off),
        "payback_months": plain(fall.payback.months),
    }


def answer_of(row: Mapping[str, Any]) -> str:
    """A verdict in a few words: `fill, 1 replica`."""
    said = str(row["recommendation"] or row["status"])
    count = row["best_replica_count"]
    return said if count is None else f"{said}, {count} replica{'' if count == 1 else 's'}"


def _shown(value: Any, name: str, config: Config) -> str:
    if value is None:
        return "—"
    if name.endswith(("_rc", "_rc_per_month", "_rc_per_mtok")):
        return currencies.money(value, config.reporting_currency)
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


def _print_bill(bill: CounterfactualBill, config: Config) -> None:
    out = console()
    lines = [bill.actual, *bill.counted]
    columns = [column for column in _COLUMNS if column[0] != _UNUSED or _has_commitment(bill)]
    rows = [
        [_way(line), *(money(amount_of(line), config.reporting_currency) for _, amount_of in columns)] for line in lines
    ]
    title = f"The bills of {bill.from_date} to {bill.to_date} (end excluded), by replicas of {bill.workload}"
    print_table(("", *(name for name, _ in columns)), rows, title)
    for text in _said_of(bill, config):
        out.print(printable(text), markup=False)


def _way(line: BillLine) -> str:
    if line.replicas is None:
        return "as it was"
    above = f", {line.overflow_hours} h above" if line.replicas and line.overflow_hours else ""
    return f"{line.replicas} replica{'' if line.replicas == 1 else 's'}{above}{' (best)' if line.is_best else ''}"


_UNUSED = "unused commitment"
_COLUMNS: tuple[tuple[str, Callable[[BillLine], Decimal | None]], ...] = (
    ("API", lambda line: line.api_cost),
    ("GPUs", lambda line: line.gpu_cost),
    ("other bills", lambda line: line.other_cost),
    ("bills", lambda line: line.billed_cost),
    ("overheads", lambda line: line.overhead_cost),
    (_UNUSED, lambda line: line.unused_commitment_cost),
    ("total", lambda line: line.total_cost),
)


def _has_commitment(bill: CounterfactualBill) -> bool:
    return any(line.unused_commitment_cost != 0 for line in (bill.actual, *bill.counted))


def _said_of(bill: CounterfactualBill, config: Config) -> list[str]:
    """What the actual row is, and what the others leave out."""
    total = currencies.money(bill.actual.billed_cost, config.reporting_currency)
    said = []
    if bill.is_equal_to_the_bills:
        said.append(f"As it was: {total}, equal to the lines of the {len(bill.bills)} bills below, to the last cent.")
    else:
        said.append(f"As it was: {total}. Not all of the bills below is in it:")
    for one in bill.bills:
        named = "/".join(part for part in (one.issuer, one.account) if part)
        stated = "no amount" if one.stated_cost is None else f"{one.stated_cost:,.2f} {one.billing_currency}"
        lacking = f", {one.unconverted_count} rows without an exchange rate" if one.unconverted_count else ""
        lacking += f", {one.unpriced_count} rows without a price" if one.unpriced_count else ""
        lacking += "" if one.is_equal else f", of which {one.told_cost or 0:,.2f} is counted"
        said.append(f"  {named} ({one.lane}, {one.cost_measure}): {stated}{lacking}")
    if _has_commitment(bill):
        said.append(
            "Unused commitment is due beside the bills, in every row. A shortfall that is invoiced already is in the "
            "other bills, goes against the commitment, and is counted once."
        )
    if bill.plans_reason is not None:
        said.append(f"No replica count is weighed: {bill.plans_reason}.")
    if bill.without_hours:
        said.append(
            f"{bill.without_hours} days are known as a sum: their hours are taken to be even, a replica's best case."
        )
    return said


def _print_offers(compared: Compared, config: Config) -> None:
    unit, out = config.reporting_currency, console()
    names = list(compared.paths)
    others = [name for name in names if name != "expected"]
    headers = ("offer", "replicas", "at once", "cash", "cost", *(f"regret {name}" for name in others), "bound after")
    rows = [
        [
            one.name,
            str(one.replicas),
            money(one.first_payment, unit),
            money(one.cash["expected"], unit),
            money(one.accrued["expected"], unit),
            *(money(one.regret[name], unit) for name in others),
            money(one.bound_after, unit),
        ]
        for one in compared.costed
    ]
    print_table(headers, rows, f"Offers over {compared.horizon_months} months, {unit}, cheapest first")
    for text in compared.remarks:
        out.print(printable(text), markup=False)


def _as_json(
    case: Case,
    supposed: Supposed,
    found: Sequence[Outcome],
    falls: Sequence[PriceFall] | None,
    bill: CounterfactualBill | None,
    compared: Compared | None,
    config: Config,
) -> dict[str, Any]:
    return {
        "day": case.day.isoformat(),
        "reporting_currency": config.reporting_currency,
        "supposed": _supposed_json(supposed),
        "flips": [outcome.after["workload"] for outcome in found if outcome.is_flipped],
        "workloads": [
            {
                "workload": outcome.after["workload"],
                "is_flipped": outcome.is_flipped,
                "before": {name: plain(value) for name, value in outcome.before.items()},
                "after": {name: plain(value) for name, value in outcome.after.items()},
            }
            for outcome in found
        ],
        "price_falls": None if falls is None else [_fall_json(one) for one in falls],
        "bill": None if bill is None else _bill_json(bill),
        "offers": None if compared is None else _offers_json(compared),
    }


def _offers_json(compared: Compared) -> dict[str, Any]:
    return {
        "horizon_months": compared.horizon_months,
        "remarks": list(compared.remarks),
        "paths_times_this_month": {name: [str(times) for times in path] for name, path in compared.paths.items()},
        "offers": [{name: plain(value) for name, value in vars(one).items()} for one in compared.costed],
    }


def _supposed_json(supposed: Supposed) -> dict[str, Any]:
    """What was supposed, exactly, as it was said: an amount instead, or times what it is."""

    def said(value: Any) -> Any:
        if isinstance(value, Amount):
            return {"instead": str(value.absolute)} if value.absolute is not None else {"times": str(value.factor)}
        if isinstance(value, Mapping):
            return {name or "every class": said(one) for name, one in value.items()}
        return value.isoformat() if isinstance(value, date) else str(value)

    return {name: said(value) for name, value in vars(supposed).items() if value not in (None, {})}


def _bill_json(bill: CounterfactualBill) -> dict[str, Any]:
    def line(one: BillLine) -> dict[str, Any]:
        shown = {name: plain(value) for name, value in vars(one).items()}
        return {**shown, "billed_cost": plain(one.billed_cost), "total_cost": plain(one.total_cost)}

    return {
        "workload": bill.workload,
        "from_date": bill.from_date.isoformat(),
        "to_date": bill.to_date.isoformat(),
        "days": bill.days,
        "is_equal_to_the_bills": bill.is_equal_to_the_bills,
        "actual": line(bill.actual),
        "counted": [line(one) for one in bill.counted],
        "plans_reason": bill.plans_reason,
        "days_without_hours": bill.without_hours,
        "bills": [
            {**{name: plain(value) for name, value in vars(one).items()}, "is_equal": one.is_equal}
            for one in bill.bills
        ],
    }
