"""What no bill says of money: overheads, contracts, budgets, and how a journal names accounts."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from pipeline.config.values import Day, Money, Name, OwnerName, Section
from pipeline.ownership import ATTRIBUTES


class Overhead(Section):
    """A fixed monthly cost of self-hosting, itemised."""

    item: str
    monthly: Money = Field(ge=0)
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    deployment: Name | None = None


class ContractRate(Section):
    """An agreed price of a million tokens. A `context_window` left out is every one of them."""

    model: str = Field(min_length=1)
    token_class: str = Field(min_length=1)
    per_mtok: Money = Field(ge=0)
    mode: str = "standard"
    context_window: str | None = None
    region: str | None = None


class Contract(Section):
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


class Budget(Section):
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


class Accounting(Section):
    """General-ledger accounts of `breakeven accrue`, as the journal shall name them."""

    api_expense: OwnerName = "API expense"
    gpu_expense: OwnerName = "GPU expense"
    accrued_liabilities: OwnerName = "Accrued liabilities"
    accounts_payable: OwnerName = "Accounts payable"
