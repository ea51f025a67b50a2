"""Taxes on what was taxed: all of them there, on nothing else."""

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.taxes import Charge, Loaded, loaded

NAMES = st.sampled_from(["a", "b", None])
CHARGES = st.builds(
    Charge,
    account=st.sampled_from(["one", "two"]),
    bill=st.sampled_from(["I", "J"]),
    currency=st.sampled_from(["USD", "JPY"]),
    service=NAMES,
    meter=NAMES,
    resource_id=st.sampled_from(["i-1", "i-2", "i-3", None]),
    amount=st.fractions(-50, 50, max_denominator=1000) | st.just(Fraction(0)),
)


def of(charges: Sequence[Charge], taxes: Sequence[Charge]) -> list[Loaded]:
    return loaded(charges, taxes, digits=lambda currency: 0 if currency == "JPY" else 2)


def charge(resource_id: str | None, amount: str, **fields: str) -> Charge:
    about = {"account": "aws", "bill": "I", "currency": "USD", "service": "ec2", "meter": "g6", **fields}
    return Charge(**about, resource_id=resource_id, amount=Fraction(amount))


def shares(found: Sequence[Loaded]) -> dict[str | None, Fraction]:
    return {one.resource_id: one.tax for one in found}


@settings(max_examples=150)
@given(charges=st.lists(CHARGES, max_size=8), taxes=st.lists(CHARGES, max_size=3))
def test_every_charge_and_every_tax_is_there_whole_whatever_their_order(
    charges: list[Charge], taxes: list[Charge]
) -> None:
    taxes = [Charge(**{**vars(one), "amount": Fraction(round(one.amount * 100), 100)}) for one in taxes]
    found = of(charges, taxes)
    for account, currency in {(one.account, one.currency) for one in (*charges, *taxes)}:
        own = [one for one in found if (one.account, one.currency) == (account, currency)]
        for parts, whole in (
            ([one.charged for one in own], charges),
            ([one.tax for one in own], taxes),
        ):
            assert sum(parts) == sum(one.amount for one in whole if (one.account, one.currency) == (account, currency))
    assert found == of(charges[::-1], taxes[::-1])


def test_a_tax_is_on_the_lines_of_its_meter_else_of_its_service_else_of_its_invoice() -> None:
    charges = [
        charge("gpu", "3"),
        charge("disk", "1", meter="gp3"),
        charge("queue", "4", service="sqs", meter="requests"),
        charge("other", "8", bill="J"),
    ]
    assert shares(of(charges, [charge(None, "0.80")])) == {"gpu": Fraction(8, 10), "disk": 0, "queue": 0, "other": 0}
    assert shares(of(charges, [charge(None, "0.80", meter="support")]))["gpu"] == Fraction(6, 10)
    assert shares(of(charges, [charge(None, "0.80", service="support")])) == {
        "gpu": Fraction(3, 10), "disk": Fraction(1, 10), "queue": Fraction(4, 10), "other": 0,
    }  # fmt: skip
    assert shares(of(charges, [charge(None, "0.80", account="another")]))[None] == Fraction(8, 10)


def test_a_tax_in_whole_coins_is_shared_in_whole_coins_and_given_back_as_it_was_taken() -> None:
    charges = [charge(name, "1") for name in ("a", "b", "c")]
    taken, back = of(charges, [charge(None, "0.02")]), of(charges, [charge(None, "-0.02")])
    assert shares(taken) == {"a": Fraction(1, 100), "b": Fraction(1, 100), "c": 0}
    assert shares(back) == {name: -part for name, part in shares(taken).items()}


def test_what_was_given_back_carries_no_tax() -> None:
    charges = [charge("a", "2"), charge("b", "1"), charge("b", "-1"), charge("c", "-3")]
    assert shares(of(charges, [charge(None, "0.50")])) == {"a": Fraction(1, 2), "b": 0, "c": 0}
    assert shares(of([charge("c", "-3")], [charge(None, "0.50")])) == {"c": 0, None: Fraction(1, 2)}
