"""The other bills of the generated year: an OpenAI account, a cloud bill with a control beside it, exchange rates."""

from datetime import date, timedelta

from benchmarks.rows import Rows, filled
from pipeline.build.relations import literal
from pipeline.landing.dataset import Table
from pipeline.sources import source_named

OPENAI_ACCOUNT = "bench-openai"
CLOUD_ACCOUNT = "bench-cloud"
RATES_ACCOUNT = "ecb"
_PROJECTS = 4
_MODELS = ("gpt-4.1", "gpt-4.1-mini", "gpt-4o")
_CLASSES = ("input", "cached input", "output")
_SERVICES = ("AmazonEC2", "AmazonS3", "AWSDataTransfer")
_SERIES = 24
_USD_PER_EUR = "1.1482"


def table_of(source: str, dataset: str, table: str) -> Table:
    """A declared table of a shipped source."""
    found = source_named(source)
    assert found is not None
    return next(
        declared
        for shipped in found.datasets
        if shipped.name == dataset
        for declared in shipped.tables
        if declared.name == table
    )


def openai_costs(day: date) -> Rows:
    """A line a project, model and class: dollars as the API's floats print."""
    names = f"[{', '.join(literal(f'{model}, {part}') for model in _MODELS for part in _CLASSES)}]"
    kinds = len(_MODELS) * len(_CLASSES)
    given = {
        "bucket": f"'{day}'",
        "usage_date": f"date '{day}'",
        "start_time": f"epoch(timestamp '{day}')",
        "end_time": f"epoch(timestamp '{day}') + 86400",
        "amount": f"printf('%d.%06d', hash('{day}', range) % 40, hash('{day}', range, 1) % 1000000)",
        "currency": "'usd'",
        "line_item": f"{names}[range % {kinds} + 1]",
        "project_id": f"'proj_' || (range // {kinds})",
        "quantity_unit": "'tokens'",
    }
    count = _PROJECTS * kinds
    sql = filled(table_of("openai_costs_api", "costs", "costs"), given, f"range({count})")
    return Rows(sql=sql, count=count, bucket=str(day), usage_date=day)


def openai_completions(day: date) -> Rows:
    """Every project calls every model in every hour."""
    models = f"[{', '.join(map(literal, _MODELS))}]"
    per_hour = _PROJECTS * len(_MODELS)
    hour = f"epoch(timestamp '{day}') + range // {per_hour} * 3600"
    given = {
        "bucket": f"'{day}'",
        "usage_date": f"date '{day}'",
        "start_time": hour,
        "end_time": f"{hour} + 3600",
        "input_tokens": f"200000 + hash('{day}', range) % 900000",
        "input_cached_tokens": f"hash('{day}', range, 1) % 200000",
        "output_tokens": f"hash('{day}', range, 2) % 300000",
        "num_model_requests": "100",
        "project_id": f"'proj_' || (range // {len(_MODELS)} % {_PROJECTS})",
        "api_key_id": f"'key_' || (range // {len(_MODELS)} % {_PROJECTS})",
        "model": f"{models}[range % {len(_MODELS)} + 1]",
        "batch": "false",
    }
    count = 24 * per_hour
    sql = filled(table_of("openai_usage_api", "completions", "completions"), given, f"range({count})")
    return Rows(sql=sql, count=count, bucket=str(day), usage_date=day)


def rates(day: date) -> Rows:
    """One euro in dollars and in pounds."""
    given = {
        "bucket": f"'{day}'",
        "usage_date": f"date '{day}'",
        "currency": "['USD', 'GBP'][range + 1]",
        "rate": f"['{_USD_PER_EUR}', '0.8700'][range + 1]",
    }
    sql = filled(table_of("ecb_rates", "reference_rates", "rates"), given, "range(2)")
    return Rows(sql=sql, count=2, bucket=str(day), usage_date=day)


def cloud_lines(month: date, until: date) -> Rows:
    """A cloud's lines of a month up to a day: so many series, each charged by the hour."""
    hours = (until - month).days * 24
    started = f"timestamp '{month}' + to_hours(cast(range // {_SERIES} as integer))"
    cost = _cloud_cost(f"range // {_SERIES}", f"range % {_SERIES}")
    given = {
        "bucket": f"'{month:%Y-%m}'",
        "usage_date": f"cast({started} as date)",
        "bill_billing_period_start_date": f"timestamp '{month}'",
        "line_item_usage_start_date": started,
        "line_item_usage_end_date": f"{started} + interval 1 hour",
        "bill_bill_type": "'Anniversary'",
        "bill_billing_entity": "'AWS'",
        "bill_invoicing_entity": "'Amazon Web Services, Inc.'",
        "bill_payer_account_id": "'111122223333'",
        "line_item_currency_code": "'USD'",
        "line_item_line_item_type": "'Usage'",
        "line_item_product_code": f"{_service()}[range % {len(_SERVICES)} + 1]",
        "line_item_resource_id": f"'i-bench-' || (range % {_SERIES})",
        "line_item_usage_account_id": f"'11112222000' || (range % {_SERIES} % 5)",
        "line_item_usage_type": f"'Usage:' || (range % {_SERIES})",
        "pricing_term": "'OnDemand'",
        "pricing_unit": "'Hrs'",
        "product_sku": f"'SKU' || (range % {_SERIES})",
        "line_item_unblended_cost": cost,
        "line_item_usage_amount": "1",
        "pricing_public_on_demand_cost": cost,
    }
    count = hours * _SERIES
    sql = filled(table_of("aws_cur2", "cost_and_usage", "lines"), given, f"range({count})")
    return Rows(sql=sql, count=count, bucket=f"{month:%Y-%m}", usage_date=None)


def cloud_control(month: date, until: date) -> Rows:
    """The same month as a FOCUS export says it: a charge a day and series, of the same money."""
    days = (until - month).days
    day = f"timestamp '{month}' + to_days(cast(range // {_SERIES} as integer))"
    hour_of_day = _cloud_cost(f"range // {_SERIES} * 24 + hour", f"range % {_SERIES}")
    cost = f"list_sum(list_transform(range(24), lambda hour: {hour_of_day}))"
    bucket = f"AWS|111122223333|{month}"
    given = {
        "bucket": f"'{bucket}'",
        "usage_date": f"cast({day} as date)",
        "billing_account_id": "'111122223333'",
        "billing_period_start": f"timestamp '{month}'",
        "billing_period_end": f"timestamp '{month + timedelta(days=31):%Y-%m-01}'",
        "charge_period_start": day,
        "charge_period_end": f"{day} + interval 1 day",
        "invoice_issuer_name": "'Amazon Web Services, Inc.'",
        "charge_category": "'Usage'",
        "billed_cost": cost,
        "effective_cost": cost,
        "billing_currency": "'USD'",
        "service_name": f"{_service()}[range % {len(_SERVICES)} + 1]",
        "resource_id": f"'i-bench-' || (range % {_SERIES})",
        "provider_name": "'AWS'",
    }
    count = days * _SERIES
    sql = filled(table_of("focus", "cost_and_usage", "charges"), given, f"range({count})")
    return Rows(sql=sql, count=count, bucket=bucket, usage_date=None)


def _cloud_cost(hour: str, series: str) -> str:
    """Dollars of one series in one hour of the month, to ten places."""
    return f"cast(printf('0.%010d', cast(hash({hour}, {series}) % 10000000000 as bigint)) as decimal(38, 18))"


def _service() -> str:
    return f"[{', '.join(map(literal, _SERVICES))}]"
