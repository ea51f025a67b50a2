"""`breakeven.yaml`: who is who, what serves what, and at which declared rates. Facts only a person knows.

The file a person edits now is read by `config_file` and held to every rule of `config_rules`. A version that was landed
before is read by `config_landed`: rules change, what was said under older ones stays said.
"""

import re
import typing
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from pipeline.ownership import ATTRIBUTES, OwnerRule, rule_name


def _decimal_from_yaml(value: object) -> object:
    """YAML reads 2.69 as a float; its shortest decimal spelling is what the person wrote."""
    return str(value) if isinstance(value, float) else value


# What DECIMAL(38,18) holds exactly: a rate that it cannot hold would be another rate.
Money = Annotated[Decimal, BeforeValidator(_decimal_from_yaml), Field(max_digits=38, decimal_places=18)]


def _not_a_number(value: object) -> object:
    """A number is no day: it would be read as seconds since 1970."""
    if isinstance(value, (int, float)):
        raise ValueError("it must be a date like 2026-10-01")
    return value


Day = Annotated[date, BeforeValidator(_not_a_number)]


def _instant(value: object) -> object:
    """A moment to the second, in UTC. Without its offset it could be any of a day's: it is refused."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("it must be a moment with its offset, like 2026-10-27T11:30:00Z")
    if value.microsecond:
        raise ValueError("it must be a whole second")
    return value.astimezone(UTC)


def _text_of_number(value: object) -> object:
    """An invoice number is its digits, whether or not somebody put it in quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


InvoiceNumber = Annotated[
    str, BeforeValidator(_text_of_number, json_schema_input_type=str | int), Field(min_length=1, max_length=200)
]
Instant = Annotated[datetime, BeforeValidator(_instant, json_schema_input_type=datetime)]
# A variable's name: never the secret itself, which would be landed with the configuration.
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$")]


# How much of a replica-hour may be filled where nobody declared it and nothing was measured: assumed, and called so.
ASSUMED_PEAK_ALLOWANCE = Decimal("0.85")

# What a person may write as one entry: both exports of one Admin API, of one key.
BOTH_OF_AN_API: Mapping[str, tuple[str, ...]] = {
    "anthropic_api": ("anthropic_cost_api", "anthropic_usage_api"),
    "openai_api": ("openai_costs_api", "openai_usage_api"),
}


def _one_or_more(value: object) -> object:
    """A single entry stands for a list of it."""
    return [value] if isinstance(value, (str, Mapping)) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_more, json_schema_input_type=str | tuple[str, ...])]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceConfig(_Section):
    """One configured export: its format, whose account it is, where its files drop, its own settings.

    `anthropic_api` and `openai_api` stand for both exports of that API, what it cost and what was used. `filtered`: the
    export leaves out lines that the invoice has, so that a month ties to the export and not to the invoice. `owner`:
    the team that is told when it is late.
    """

    source: Name
    account: Name
    inbox: str | None = None
    key_env: EnvironmentName | None = None
    base_url: str | None = None
    horizon: Day | None = None
    settle_lag_hours: int | None = Field(default=None, ge=0, le=24 * 60)
    role: Literal["book", "control"] = "book"
    filtered: bool = False
    owner: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class GpuResource(_Section):
    """A billed resource (instance, node, owned machine) and what was agreed about it, valid [from, to).

    `committed_until`: the first day on which it could be given back; until then it is paid for, used or not.
    `pool`: the hosts of one that is billed for several; a GPU on one of them that nothing else tells is its own.
    """

    issuer: Name
    resource_id: str = Field(min_length=1, max_length=200)
    host: str | None = None
    pool: Names = ()
    gpu_count: int = Field(ge=1, le=1024)
    contract_rate_per_gpu_hour: Money | None = Field(default=None, ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    committed_until: Day | None = None
    valid_from: Day = Field(alias="from")
    valid_to: Day | None = Field(default=None, alias="to")


class CapacityBlock(_Section):
    """A capacity block of AWS's that was paid in advance, and when it lasts [from, to): the line of its fee says not.

    The fee is found by `reservation` (the id of the capacity reservation, or its ARN), by the `invoice` that it alone
    is on, or by both where one reservation has several fees.
    """

    account: Name
    reservation: str | None = Field(default=None, min_length=1, max_length=200)
    invoice: InvoiceNumber | None = None
    starts_at: Instant = Field(alias="from")
    ends_at: Instant = Field(alias="to")

    @property
    def named(self) -> str:
        """How a person names it."""
        said = (self.reservation, None if self.invoice is None else f"invoice {self.invoice}")
        return ", ".join(part for part in said if part is not None)


class Capacity(_Section):
    """Tokens per second one replica sustains within its SLO. Declared with a date and a source, or not at all.

    `tokens_per_second` is of all classes together, at the mix it was measured at. By class is better known, and counts.
    `peak_allowance` is the share of an hour that may be filled so that peaks inside it fit.
    """

    tokens_per_second: Money | None = Field(default=None, gt=0)
    prefill_tokens_per_second: Money | None = Field(default=None, gt=0)
    cached_tokens_per_second: Money | None = Field(default=None, gt=0)
    decode_tokens_per_second: Money | None = Field(default=None, gt=0)
    measured_on: Day
    source: str
    peak_allowance: Money | None = Field(default=None, gt=0, le=1)


class Served(_Section):
    """What hardware and model a replica is of: with it, what is impossible is refused. What is left out bounds nothing.

    `kv_bytes_per_token` is 2 x layers x key-value heads x head dimension x bytes; `context_tokens` what a request holds
    of its own while its answer is written (its prompt, less what it shares, and half of the answer).
    """

    gpu: str | None = None
    parameters_billions: Money | None = Field(default=None, gt=0)
    active_parameters_billions: Money | None = Field(default=None, gt=0)
    bytes_per_parameter: Money = Field(default=Decimal(2), gt=0, le=4)
    kv_bytes_per_token: Money | None = Field(default=None, gt=0)
    context_tokens: Money | None = Field(default=None, gt=0)
    requests_at_once: int | None = Field(default=None, ge=1, le=10**6)
    tokens_per_step: Money = Field(default=Decimal(1), ge=1, le=64)


class TokenCosts(_Section):
    """How one bill is split over token classes. `gpu_seconds`: as long as each takes, fitted to own saturated hours."""

    split: Literal["gpu_seconds", "api_prices", "fixed_ratio", "token_count"] = "gpu_seconds"
    api_model: str | None = None
    input_uncached: Money | None = Field(default=None, ge=0)
    input_cache_read: Money | None = Field(default=None, ge=0)
    output: Money | None = Field(default=None, ge=0)


class Rent(_Section):
    """How a deployment's GPUs could be rented otherwise than they are billed: by the hour, bound for the whole time,
    started and stopped. `start_cost` is of one replica, beyond its rent while it warms up.
    """

    on_demand_gpu_hour: Money = Field(ge=0)
    reserved_gpu_hour: Money | None = Field(default=None, ge=0)
    warm_up_minutes: int | None = Field(default=None, ge=0, le=60)
    start_cost: Money = Field(default=Decimal(0), ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


class Deployment(Served):
    """One LLM served on a set of GPUs. A replica is `gpus_per_replica` of them serving one copy.

    `prefill`, `decode`: of a disaggregated one, which engines compute prompts and which generate, by their host, their
    address or what made their pods; where nobody says, their own labels or their counters do. `adapters`: the names
    under which a gateway asks it for its tuned models, beside its own.
    """

    deployment: Name
    model: str
    served_names: Names = ()
    hosts: Names = ()
    prefill: Names = ()
    decode: Names = ()
    adapters: Names = ()
    gpus_per_replica: int = Field(ge=1, le=1024)
    capacity: Capacity | None = None
    minimum_replicas: int = Field(default=1, ge=0, le=1024)
    spare_replicas: int = Field(default=0, ge=0, le=1024)
    token_costs: TokenCosts = TokenCosts()
    rent: Rent | None = None
    valid_from: Day | None = Field(default=None, alias="from")


class ModelWeights(_Section):
    """Which weights a name stands for, valid [from, to): of a `provider`'s API, else of what is served. It goes before
    what is shipped. `precision` is of the weights as they are served: bf16, fp8, mxfp4.
    """

    model: str = Field(min_length=1, max_length=200)
    provider: Name | None = None
    weights: str = Field(min_length=1, max_length=200)
    precision: Name | None = None
    valid_from: Day | None = Field(default=None, alias="from")
    valid_to: Day | None = Field(default=None, alias="to")


class WorkloadMatch(_Section):
    """All named fields must match. A field left out matches anything. `workspace` and `project` are one vendor's or the
    other's word for the same thing: a rule names one of them. `gateway_key` and `gateway_team` are a gateway's own: the
    traffic that the other fields match is split by the gateway's count of each.
    """

    provider: str | None = None
    account: str | None = None
    workspace: str | None = None
    project: str | None = None
    api_key: str | None = None
    gateway_key: str | None = None
    gateway_team: str | None = None
    model: str | None = None
    served_name: str | None = None
    deployment: str | None = None

    @property
    def sub_account(self) -> str | None:
        """The vendor's own division of the account that must match (FOCUS: SubAccountId)."""
        return self.project if self.workspace is None else self.workspace


class Candidate(Served):
    """A deployment that does not exist yet: whatever is known of it. What is left out is solved for."""

    gpus_per_replica: int | None = Field(default=None, ge=1, le=1024)
    gpu_hour: Money | None = Field(default=None, ge=0)
    tokens_per_second: Money | None = Field(default=None, gt=0)
    tokens_per_api_token: Money | None = Field(default=None, gt=0)
    engineering_hours_per_month: Money | None = Field(default=None, ge=0)
    engineering_hour: Money | None = Field(default=None, ge=0)
    peak_allowance: Money | None = Field(default=None, gt=0, le=1)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


class Migration(_Section):
    """What moving a workload costs once, in the reporting currency, and within how many months that has to be paid back
    for a move to be sure enough.
    """

    one_off: Money = Field(gt=0)
    payback_months: int = Field(ge=1, le=120)


Rules = Annotated[tuple[WorkloadMatch, ...], Field(min_length=1)]


class Workload(_Section):
    """Traffic that either lane could serve: what a decision is about.

    `movable_share`: how much of it own GPUs could serve well enough; `tokens_per_api_token`: how many tokens they need
    for one of the API's, for the same task. A verdict takes all of it, token for token; with these it is decided once
    more, where it is on an API alone: of tokens that own GPUs served neither is known, and no verdict sure.
    """

    workload: Name
    team: str | None = None
    match: Annotated[Rules, BeforeValidator(_one_or_more, json_schema_input_type=WorkloadMatch | Rules)]
    deployment: Name | None = None
    candidate: Candidate | None = None
    api_model: str | None = None
    pinned_to: Literal["api", "self_host"] | None = None
    pin_reason: str | None = None
    migration: Migration | None = None
    movable_share: Money | None = Field(default=None, gt=0, le=1)
    tokens_per_api_token: Money | None = Field(default=None, gt=0)
    # Whole hours after the one in which a request came, until which it may be served; a batch of the APIs has 24.
    may_wait_hours: int | None = Field(default=None, ge=1, le=168)


class Demand(_Section):
    """`sampled_week`: the Monday of the week whose minutes say how high demand rises inside the hour, once it is over.

    Left out, it is the newest whole week: name one where the newest is no ordinary one, or where one alone was read
    every half minute or finer.
    """

    sampled_week: Day | None = None


class Overhead(_Section):
    """A fixed monthly cost of self-hosting, itemised."""

    item: str
    monthly: Money = Field(ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    deployment: Name | None = None


# What is counted and priced apart, of any provider, and how it can be bought.
TOKEN_CLASSES = frozenset(
    {
        "input_uncached", "input_uncached_audio", "input_cache_read", "input_cache_read_audio",
        "input_cache_write_5m", "input_cache_write_30m", "input_cache_write_1h", "input_cache_write_12h",
        "output", "output_audio", "output_image",
    }
)  # fmt: skip
PRICE_MODES = frozenset({"standard", "batch", "fast", "flex", "priority", "scale"})
# Whose bills are read, or whose list prices are known.
PROVIDERS = frozenset({"anthropic", "cerebras", "fireworks", "groq", "openai", "together"})


class ContractRate(_Section):
    """An agreed price of a million tokens. A `context_window` left out is every one of them."""

    model: str = Field(min_length=1)
    token_class: str = Field(min_length=1)
    per_mtok: Money = Field(ge=0)
    mode: str = "standard"
    context_window: str | None = None
    region: str | None = None


class Contract(_Section):
    """What was agreed with an API's provider, valid [from, to): of one account, or of all without a contract of theirs.

    `discount` is off the list price of what `rates` does not name. Of each period, counted from `from`, at least
    `commitment` is due, of each month at least `minimum_monthly`: used up or not.
    """

    provider: Name
    account: Name | None = None
    valid_from: Day = Field(alias="from")
    valid_to: Day | None = Field(default=None, alias="to")
    discount: Money = Field(default=Decimal(0), ge=0, lt=1)
    rates: tuple[ContractRate, ...] = ()
    commitment: Money | None = Field(default=None, ge=0)
    per: Literal["month", "quarter", "year"] = "month"
    minimum_monthly: Money | None = Field(default=None, ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")


BUDGET_SCOPES = (*ATTRIBUTES, "model", "workload")


class Budget(_Section):
    """What may be spent a month, valid [from, to): by the whole company, or by one `team`, `cost_centre`, `environment`
    (by the names of now), `model` or `workload`.

    Of a month the amount counts that is valid on its last day. Spent is what APIs bill, clouds bill for models that
    they host, and GPUs cost.
    """

    team: str | None = Field(default=None, min_length=1, max_length=200)
    cost_centre: str | None = Field(default=None, min_length=1, max_length=200)
    environment: str | None = Field(default=None, min_length=1, max_length=200)
    model: str | None = Field(default=None, min_length=1, max_length=200)
    workload: Name | None = None
    # What a month can be held in, whatever the rate to the reporting currency.
    monthly: Money = Field(ge=0, lt=10**14)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    valid_from: Day | None = Field(default=None, alias="from")
    valid_to: Day | None = Field(default=None, alias="to")

    @property
    def scope(self) -> tuple[str, str | None]:
        """What it is of, and its name: the first that is said of BUDGET_SCOPES, else the organisation."""
        return next(
            ((kind, name) for kind in BUDGET_SCOPES if (name := getattr(self, kind)) is not None),
            ("organisation", None),
        )


class PerUseCharges(_Section):
    """Which lines of a bill are of a service that is billed by use. All named fields must match; `account` is that of
    the bill's source, the others are its own columns (of an invoice by lines only `resource_id`).
    """

    account: Name
    resource_id: str | None = Field(default=None, min_length=1, max_length=200)
    service: str | None = Field(default=None, min_length=1, max_length=200)
    sku: str | None = Field(default=None, min_length=1, max_length=200)
    sub_account: str | None = Field(default=None, min_length=1, max_length=200)


class PerUseTokens(_Section):
    """Whose requests in a gateway's log (`litellm_spend_logs`, or an endpoint's own in that form) it served: the log's
    account, and the model as the log names it, less a provider before it.
    """

    gateway: Name
    model: str = Field(min_length=1, max_length=200)
    provider: str | None = Field(default=None, min_length=1, max_length=200)


class PerUse(_Section):
    """An LLM on workers that are billed while they work: serverless GPUs, an endpoint by the worker-second. It is no
    rented GPU: it has no idle hours. Valid [from, to).
    """

    service: Name
    model: str = Field(min_length=1, max_length=200)
    charges: Annotated[
        tuple[PerUseCharges, ...],
        Field(min_length=1),
        BeforeValidator(_one_or_more, json_schema_input_type=PerUseCharges | tuple[PerUseCharges, ...]),
    ]
    tokens: Annotated[
        tuple[PerUseTokens, ...],
        BeforeValidator(_one_or_more, json_schema_input_type=PerUseTokens | tuple[PerUseTokens, ...]),
    ] = ()
    valid_from: Day | None = Field(default=None, alias="from")
    valid_to: Day | None = Field(default=None, alias="to")


OwnerName = Annotated[str, Field(min_length=1, max_length=200)]


class OwnerMatch(_Section):
    """What a charge is known by: all that is named must match. `workspace` and `project` are one vendor's or the
    other's word for the same thing. `resource` is what a bill charges for, `tags` what it is tagged with there.
    `replica` is an engine on a GPU, `namespace` what its name has before the last slash (`cluster/namespace`, maybe).
    """

    account: str | None = None
    workspace: str | None = None
    project: str | None = None
    api_key: str | None = None
    gateway_key: str | None = None
    gateway_team: str | None = None
    workload: Name | None = None
    deployment: Name | None = None
    resource: str | None = None
    namespace: str | None = None
    replica: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)

    @property
    def fields(self) -> dict[str, str]:
        """What it names, in the words of the tables."""
        said = {
            "account": self.account,
            "sub_account_id": self.project if self.workspace is None else self.workspace,
            "api_key_id": self.api_key,
            "gateway_key_id": self.gateway_key,
            "gateway_team_id": self.gateway_team,
            "workload": self.workload,
            "deployment_id": self.deployment,
            "resource_id": self.resource,
            "namespace": self.namespace,
            "replica_id": self.replica,
        }
        return {name: value for name, value in said.items() if value is not None}


class Ownership(_Section):
    """Who owns what a charge is of, valid [from, to): its team, cost centre and environment, or some of these.

    Of the rules that match a charge the narrowest says it, each of the three by itself; rules of which neither is the
    narrower are refused. What no rule says is unattributed.
    """

    match: OwnerMatch
    team: OwnerName | None = None
    cost_centre: OwnerName | None = None
    environment: OwnerName | None = None
    valid_from: Day | None = Field(default=None, alias="from")
    valid_to: Day | None = Field(default=None, alias="to")

    @property
    def rule(self) -> OwnerRule:
        """As it is applied. Its name is what it matches."""
        fields, tags = self.match.fields, self.match.tags
        named = [*fields.items(), *((f"tag {key}", value) for key, value in sorted(tags.items()))]
        said = {name: getattr(self, name) for name in ATTRIBUTES}
        return OwnerRule(
            name=rule_name(named),
            fields=fields,
            says={name: owner for name, owner in said.items() if owner is not None},
            tags=tags,
            valid_from=self.valid_from,
            valid_to=self.valid_to,
        )


class OwnerAlias(_Section):
    """What a team, a cost centre or an environment is called now, and what it `was` called: no past row moves."""

    team: OwnerName | None = None
    cost_centre: OwnerName | None = None
    environment: OwnerName | None = None
    was: Annotated[
        tuple[OwnerName, ...],
        Field(min_length=1),
        BeforeValidator(_one_or_more, json_schema_input_type=OwnerName | tuple[OwnerName, ...]),
    ]


class SlackFloor(_Section):
    """What is worth a message: money a month of at least `absolute`, and of this `share` of what it is a part of.

    `absolute` is in the reporting currency.
    """

    absolute: Money = Field(default=Decimal(100), ge=0)
    share: Money = Field(default=Decimal("0.05"), ge=0, le=1)


def _minute_of_day(value: object) -> object:
    """`18:00` as minutes. YAML 1.1 reads it as that number by itself, but `08:00` as text."""
    if isinstance(value, str) and (found := re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", value)):
        return int(found[1]) * 60 + int(found[2])
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError(f"{value!r} is no time zone like Europe/Berlin") from None
    return value


Minute = Annotated[int, BeforeValidator(_minute_of_day, json_schema_input_type=str), Field(ge=0, lt=24 * 60)]


class SlackQuietHours(_Section):
    """When nothing is posted but what stops a service: from one local time of day to another, over midnight too."""

    from_minute: Minute = Field(alias="from")
    to_minute: Minute = Field(alias="to")
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    weekends: bool = False


class Accounting(_Section):
    """General-ledger accounts of `breakeven accrue`, as the journal shall name them."""

    api_expense: OwnerName = "API expense"
    gpu_expense: OwnerName = "GPU expense"
    accrued_liabilities: OwnerName = "Accrued liabilities"
    accounts_payable: OwnerName = "Accounts payable"


class Slack(_Section):
    """`teams`: the channel of what is a team's; else `channel`. The last of a week's posts is a digest of the rest."""

    channel: str | None = None
    token_env: EnvironmentName | None = "SLACK_BOT_TOKEN"
    webhook_env: EnvironmentName | None = None
    app_token_env: EnvironmentName | None = "SLACK_APP_TOKEN"
    on_uncertain: Literal["hold", "repost"] = "hold"
    api_url: str | None = None
    floor: SlackFloor = SlackFloor()
    posts_per_week: int = Field(default=2, ge=1, le=100)
    teams: dict[str, str] = Field(default_factory=dict)
    quiet_hours: SlackQuietHours | None = None


# Letters, digits and the few marks that need no quoting: no list, no name beside it, no line of a header.
ADDRESS = r"^[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"
Address = Annotated[str, Field(pattern=ADDRESS)]
Addresses = Annotated[
    tuple[Address, ...], BeforeValidator(_one_or_more, json_schema_input_type=str | tuple[Address, ...])
]


class Mail(_Section):
    """The SMTP server by which letters go out. Its password is in the variable `password_env`, never here."""

    host: str = Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:-]+$")
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["tls", "starttls", "none"] = "starttls"
    sender: Address = Field(alias="from")
    user: str | None = Field(default=None, pattern=r"^[\x21-\x7e]{1,254}$")
    password_env: EnvironmentName | None = None


class SpendGuard(_Section):
    """Say at once when an hour of a key's use of a model is `multiple` times what that hour of the week was, and
    `floor` above it: by counters at list prices, in the reporting currency an hour. Needs a run each hour.
    """

    multiple: Money = Field(default=Decimal(3), gt=1, le=1000)
    floor: Money = Field(default=Decimal(50), gt=0)


class OutletConfig(_Section):
    """Where cases are told beside Slack: a webhook whose URL is in `url_env`, or letters to `to` by `mail`.

    Each outlet is told each case once, by itself. Floor, quiet hours and posts a week are those of `slack`.
    `only_teams`: no cases but those of these teams.
    """

    name: Name
    kind: Literal["webhook", "teams", "discord", "email"]
    url_env: EnvironmentName | None = None
    to: Addresses = ()
    only_teams: Names = ()
    on_uncertain: Literal["hold", "repost"] = "hold"


class Reports(_Section):
    """What the monthly job makes of each month, where it puts it, and to whom it is mailed once it is settled.

    `statements`: then too, of each team or cost centre and of what none owns, beside it and where it is published.
    """

    formats: Annotated[
        tuple[Literal["html", "pdf", "md", "xlsx", "csv", "parquet"], ...], BeforeValidator(_one_or_more)
    ] = ("html", "pdf", "md", "xlsx", "csv", "parquet")
    statements: Annotated[
        tuple[Literal["team", "cost_centre"], ...],
        BeforeValidator(_one_or_more, json_schema_input_type=str | tuple[str, ...]),
    ] = ()
    publish: str | None = Field(default=None, min_length=1)
    mail_to: Addresses = ()


class RegretMeter(_Section):
    """Change sides once waiting has cost `alpha` times what a migration costs, in the reporting currency."""

    one_off: Money = Field(gt=0)
    alpha: Money = Field(default=Decimal(1), gt=0, le=100)


class AlertRule(_Section):
    """Hysteresis of the announced state, or a regret meter in its stead (economics.md section 10)."""

    enter_ratio: Money = Decimal("1.10")
    exit_ratio: Money = Decimal("0.90")
    dwell_days: int = Field(default=7, ge=1, le=3650)
    cooldown_days: int = Field(default=14, ge=0, le=3650)
    regret_meter: RegretMeter | None = None


class Config(_Section):
    """The whole of `breakeven.yaml`."""

    company: str
    reporting_currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    state: str = ".breakeven"
    comparator: str | None = None
    sources: tuple[SourceConfig, ...] = ()
    gpu_resources: tuple[GpuResource, ...] = ()
    capacity_blocks: tuple[CapacityBlock, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    workloads: tuple[Workload, ...] = ()
    demand: Demand = Demand()
    overheads: tuple[Overhead, ...] = ()
    contracts: tuple[Contract, ...] = ()
    models: tuple[ModelWeights, ...] = ()
    budgets: tuple[Budget, ...] = ()
    per_use: tuple[PerUse, ...] = ()
    ownership: tuple[Ownership, ...] = ()
    owner_aliases: tuple[OwnerAlias, ...] = ()
    accounting: Accounting = Accounting()
    slack: Slack = Slack()
    mail: Mail | None = None
    outlets: tuple[OutletConfig, ...] = ()
    spend_guard: SpendGuard | None = None
    reports: Reports = Reports()
    alerts: AlertRule = AlertRule()


def fields_of(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Every key as a person writes it, and its field."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section a field holds, alone or in a list; None for a plain value."""
    for candidate in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
