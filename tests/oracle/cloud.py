"""Cloud bills, read a second time: AWS's Cost and Usage Report and FOCUS files, line by line, in decimals.

Knows the kinds of line that the demo has. Another kind must be understood here first: it is refused aloud.
"""

import csv
import gzip
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracle.landed import DAY, Delivery, Project, midnight, moment, settle_lag
from tests.oracle.money import money, quanta
from tests.oracle.rates import Rates
from tests.oracle.rules import in_force

Rows = dict[tuple[Any, ...], dict[str, Any]]

DATASET = "cost_and_usage"
SOURCES = ("aws_cur2", "focus")
_COSTS = ("billed", "effective", "list", "contracted")
_QUANTITIES = ("consumed", "pricing")
# Hours of these are an instance's own; hours of its options are metered under its id too.
_INSTANCE_HOURS = ("BoxUsage:", "SpotUsage:", "DedicatedUsage:", "HostUsage:")


class Charge(NamedTuple):
    """What a row of fct_cloud_charges_daily is one of. Its grain, in its order."""

    usage_date: date
    source: str
    dataset: str
    account: str
    billing_account_id: str | None
    billing_period_start_date: date
    invoice_id: str | None
    invoice_issuer: str | None
    service_provider: str | None
    sub_account_id: str | None
    service: str | None
    sku: str | None
    sku_meter: str | None
    charge_category: str
    charge_class: str | None
    pricing_category: str | None
    region_id: str | None
    resource_id: str | None
    commitment_discount_id: str | None
    commitment_discount_status: str | None
    billing_currency: str
    consumed_unit: str | None
    pricing_unit: str | None


class Amounts(NamedTuple):
    """Quanta of money and of quantity; None is not said. `lines`: of the file, that this stands for."""

    billed: int
    effective: int | None
    list: int | None
    contracted: int | None
    consumed: int | None
    pricing: int | None
    lines: int


class CloudLine(NamedTuple):
    """A day's charges of one kind, summed."""

    charge: Charge
    amounts: Amounts
    is_book: bool
    is_gpu_resource: bool


Line = dict[str, str]
_Counted = dict[tuple[str, str, str], Delivery]  # (source, account, bucket)


def cloud_lines(project: Project) -> list[CloudLine]:
    """Every charge of the deliveries that count."""
    sums: dict[Charge, list[Amounts]] = defaultdict(list)
    for source, account, line in _lines(project):
        read = _cur_charges if source == "aws_cur2" else _focus_charges
        for charge, amounts in read(account, line):
            sums[charge].append(amounts)
    _check_books(project, sums)
    return [
        CloudLine(
            charge=charge,
            amounts=_summed(found),
            is_book=_role(project, charge) == "book",
            is_gpu_resource=_is_gpu_resource(project, charge),
        )
        for charge, found in sums.items()
    ]


def covered_cloud_days(project: Project) -> dict[tuple[date, str, str], tuple[int, datetime]]:
    """(day, source, account) -> rows of the files that count, and when the least recent of them was stated."""
    rows: Counter[tuple[date, str, str]] = Counter()
    stated: dict[tuple[date, str, str], datetime] = {}
    counted = _counting(project)
    for (source, account, bucket), delivery in counted.items():
        for line in _file_lines(project, delivery):
            if _bucket(source, delivery, line) == bucket:
                key = _day(source, line), source, account
                rows[key] += 1
                stated[key] = min(stated.get(key, delivery.stated_at), delivery.stated_at)
    return {key: (count, stated[key]) for key, count in rows.items()}


def settled_days(project: Project) -> set[tuple[str, date]]:
    """(account, day) that a cloud bill of record has settled: what is not on it was not there."""
    found = set()
    for (day, source, account), (_, stated_at) in covered_cloud_days(project).items():
        lag = settle_lag(project, source=source, account=account, dataset=DATASET)
        if project.source(source, account)["role"] == "book" and stated_at >= midnight(day) + DAY + lag:
            found.add((account, day))
    return found


def is_instance_time(line: CloudLine) -> bool:
    """Whether the charge pays for hours of the resource itself."""
    charge = line.charge
    if charge.charge_category != "Usage" or (charge.consumed_unit or "").lower() not in ("hrs", "hours"):
        return False
    return charge.source != "aws_cur2" or (charge.sku_meter or "").startswith(_INSTANCE_HOURS)


# --- which lines count -----------------------------------------------------------------------------------------------


def _lines(project: Project) -> Iterator[tuple[str, str, Line]]:
    for (source, account, bucket), delivery in _counting(project).items():
        for line in _file_lines(project, delivery):
            if _bucket(source, delivery, line) == bucket:
                yield source, account, line


def _counting(project: Project) -> _Counted:
    """Of the deliveries that have rows of a bucket, the one that was stated last."""
    counting: _Counted = {}
    deliveries = [one for one in project.of(DATASET) if one.source in SOURCES and one.is_complete]
    for delivery in sorted(deliveries, key=lambda one: (one.stated_at, one.landed_at, one.delivery_id)):
        for bucket in {_bucket(delivery.source, delivery, line) for line in _file_lines(project, delivery)}:
            counting[delivery.source, delivery.account, bucket] = delivery
    return counting


def _file_lines(project: Project, delivery: Delivery) -> Iterator[Line]:
    for object_id in delivery.object_ids:
        text = gzip.decompress(project.content(object_id)).decode("utf-8")
        yield from csv.DictReader(io.StringIO(text, newline=""))


def _bucket(source: str, delivery: Delivery, line: Line) -> str:
    """The issuer's unit of restatement: what the manifest speaks for; of FOCUS provider, payer and period."""
    if source == "aws_cur2":
        return str(delivery.settings["billing_period"])
    return "|".join((line["ProviderName"], line["BillingAccountId"], line["BillingPeriodStart"][:10]))


def _day(source: str, line: Line) -> date:
    return moment(line["line_item_usage_start_date" if source == "aws_cur2" else "ChargePeriodStart"]).date()


# --- what a line says ------------------------------------------------------------------------------------------------


def _cur_charges(account: str, line: Line) -> Iterator[tuple[Charge, Amounts]]:
    """AWS's words in FOCUS's. What a plan covers is priced on demand and taken back: together nothing is billed."""
    kind = line["line_item_line_item_type"]
    cost, arn = quanta(line["line_item_unblended_cost"]), line["savings_plan_savings_plan_a_r_n"] or None
    issuer = line["bill_invoicing_entity"]
    charge = Charge(
        usage_date=_day("aws_cur2", line),
        source="aws_cur2",
        dataset=DATASET,
        account=account,
        billing_account_id=line["bill_payer_account_id"],
        billing_period_start_date=moment(line["bill_billing_period_start_date"]).date(),
        invoice_id=line["bill_invoice_id"] or None,
        invoice_issuer=issuer,
        service_provider="AWS",
        sub_account_id=line["line_item_usage_account_id"],
        service=line["line_item_product_code"],
        sku=line["product_sku"] or None,
        sku_meter=line["line_item_usage_type"] or None,
        charge_category="Usage",
        charge_class=None,
        pricing_category=None,
        region_id=line["product_region_code"] or None,
        resource_id=line["line_item_resource_id"] or None,
        commitment_discount_id=arn,
        commitment_discount_status=None,
        billing_currency=line["line_item_currency_code"],
        consumed_unit=None,
        pricing_unit=None,
    )
    taken_back = charge._replace(
        sub_account_id=None, service=None, sku=None, sku_meter=None, region_id=None, resource_id=None
    )
    unit = line["pricing_unit"] or None
    used = charge._replace(consumed_unit=unit, pricing_unit=unit)
    quantity, listed = quanta(line["line_item_usage_amount"]), quanta(line["pricing_public_on_demand_cost"])
    if kind == "Usage":
        if line["pricing_term"] != "OnDemand":
            raise ValueError(f"the oracle reads use on demand, not {line['pricing_term']!r}")
        yield used._replace(pricing_category="Standard"), Amounts(cost, cost, listed, None, quantity, quantity, 1)
    elif kind == "SavingsPlanCoveredUsage":
        effective = quanta(line["savings_plan_savings_plan_effective_cost"])
        covered = used._replace(pricing_category="Committed", commitment_discount_status="Used")
        yield covered, Amounts(0, effective, listed, None, quantity, quantity, 1)
        yield taken_back, Amounts(cost, 0, None, None, None, None, 0)
    elif kind == "SavingsPlanNegation":
        yield taken_back, Amounts(cost, 0, None, None, None, None, 1)
    elif kind == "SavingsPlanRecurringFee":
        yield charge._replace(charge_category="Purchase"), Amounts(cost, 0, None, None, None, None, 1)
        unused = quanta(line["savings_plan_total_commitment_to_date"]) - quanta(line["savings_plan_used_commitment"])
        if unused:
            left = charge._replace(pricing_category="Committed", commitment_discount_status="Unused")
            yield left, Amounts(0, unused, None, None, None, None, 0)
    elif kind in ("Credit", "Tax"):
        yield charge._replace(charge_category=kind), Amounts(cost, cost, None, None, None, None, 1)
    else:
        raise ValueError(f"the oracle does not know lines of type {kind}")


def _focus_charges(account: str, line: Line) -> Iterator[tuple[Charge, Amounts]]:
    def said(name: str) -> str | None:
        return line[name] or None

    def amount(name: str) -> int | None:
        return quanta(line[name]) if line[name] else None

    charge = Charge(
        usage_date=_day("focus", line),
        source="focus",
        dataset=DATASET,
        account=account,
        billing_account_id=said("BillingAccountId"),
        billing_period_start_date=moment(line["BillingPeriodStart"]).date(),
        invoice_id=said("InvoiceId"),
        invoice_issuer=said("InvoiceIssuerName"),
        service_provider=said("ProviderName"),
        sub_account_id=said("SubAccountId"),
        service=said("ServiceName"),
        sku=said("SkuId"),
        sku_meter=said("SkuMeter"),
        charge_category=line["ChargeCategory"],
        charge_class=said("ChargeClass"),
        pricing_category=said("PricingCategory"),
        region_id=said("RegionId"),
        resource_id=said("ResourceId"),
        commitment_discount_id=said("CommitmentDiscountId"),
        commitment_discount_status=said("CommitmentDiscountStatus"),
        billing_currency=line["BillingCurrency"],
        consumed_unit=said("ConsumedUnit"),
        pricing_unit=said("PricingUnit"),
    )
    yield (
        charge,
        Amounts(
            billed=quanta(line["BilledCost"]),
            effective=amount("EffectiveCost"),
            list=amount("ListCost"),
            contracted=amount("ContractedCost"),
            consumed=amount("ConsumedQuantity"),
            pricing=amount("PricingQuantity"),
            lines=1,
        ),
    )


def _summed(found: list[Amounts]) -> Amounts:
    """An amount that one of them does not say is unknown for all."""

    def total(values: Iterable[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(found) else None

    return Amounts(
        billed=sum(one.billed for one in found),
        effective=total(one.effective for one in found),
        list=total(one.list for one in found),
        contracted=total(one.contracted for one in found),
        consumed=total(one.consumed for one in found),
        pricing=total(one.pricing for one in found),
        lines=sum(one.lines for one in found),
    )


# --- whose it is -----------------------------------------------------------------------------------------------------


def _role(project: Project, charge: Charge) -> str:
    return str(project.source(charge.source, charge.account)["role"])


def _is_gpu_resource(project: Project, charge: Charge) -> bool:
    return any(
        (resource["issuer"], resource["resource_id"]) == (charge.account, charge.resource_id)
        for resource in in_force(project.config["gpu_resources"], charge.usage_date)
    )


def _per_use_service(project: Project, charge: Charge) -> str | None:
    """Who claims it among the services billed by use; a rented GPU is nobody's."""
    if _is_gpu_resource(project, charge):
        return None
    claiming = {
        str(service["service"])
        for service in in_force(project.config["per_use"], charge.usage_date)
        for rule in service["charges"]
        if rule["account"] == charge.account
        and rule["sub_account"] in (None, charge.sub_account_id)
        and all(rule[name] in (None, getattr(charge, name)) for name in ("resource_id", "service", "sku"))
    }
    return " + ".join(sorted(claiming)) or None


def _check_books(project: Project, charges: Iterable[Charge]) -> None:
    books: dict[str, set[str]] = defaultdict(set)
    for charge in charges:
        if _role(project, charge) == "book":
            books[charge.account].add(charge.source)
    invoiced = {delivery.account for delivery in project.of("invoice")}
    if any(len(sources) > 1 or account in invoiced for account, sources in books.items()):
        raise ValueError(f"the oracle does not choose between the books {dict(books)}")


# --- the marts -------------------------------------------------------------------------------------------------------


def cloud_rows(project: Project, lines: list[CloudLine]) -> Rows:
    """fct_cloud_charges_daily."""
    rates = Rates(project)
    rows: Rows = {}
    for line in lines:
        charge, amounts = line.charge, line.amounts
        own = {name: _money(getattr(amounts, name)) for name in _COSTS}
        reported = {
            name: rates.convert(value, charge.billing_currency, charge.usage_date) for name, value in own.items()
        }
        rows[tuple(charge)] = {
            "issuer": charge.account,
            "role": _role(project, charge),
            "is_book": line.is_book,
            "is_gpu_resource": line.is_gpu_resource,
            "per_use_service": _per_use_service(project, charge),
            **{f"{name}_cost": value for name, value in own.items()},
            **{f"{name}_cost_rc": value for name, value in reported.items()},
            "conversion_status": "unconverted" if reported["billed"] is None else "converted",
            **{f"{name}_quantity": _money(getattr(amounts, name)) for name in _QUANTITIES},
            "line_count": amounts.lines,
        }
    return rows


def cloud_reconciliation(lines: list[CloudLine]) -> Rows:
    """Each invoice that the bill of record names: its lines, and what of them is GPU resources. It states no total."""
    rows: Rows = {}
    for line in lines:
        charge = line.charge
        if not line.is_book or charge.invoice_id is None:
            continue
        key = charge.invoice_issuer, charge.account, charge.invoice_id
        last = charge.billing_period_start_date + timedelta(days=31)
        row = rows.setdefault(
            key,
            {
                "billing_currency": charge.billing_currency,
                "period_start_date": charge.billing_period_start_date,
                "period_end_date": last.replace(day=1),
                "payable_cost": None,
                "lines_cost": Fraction(0),
                "residual_cost": None,
                "allocated_cost": Fraction(0),
                "unallocated_cost": Fraction(0),
                "status": "no_control_total",
            },
        )
        if (row["billing_currency"], row["period_start_date"]) != (
            charge.billing_currency,
            charge.billing_period_start_date,
        ):
            raise ValueError("the oracle reads invoices of one period in one currency")
        row["lines_cost"] += money(line.amounts.billed)
        row["allocated_cost" if line.is_gpu_resource else "unallocated_cost"] += money(line.amounts.billed)
    return rows


def _money(amount: int | None) -> Fraction | None:
    return None if amount is None else money(amount)
