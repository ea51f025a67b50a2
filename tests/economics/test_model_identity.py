"""Two names are one model only where weights and precision are both known, and equal, that day."""

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.economics.model_identity import NOT_PUBLISHED, Alias, Aliases, compare

DAY = date(2026, 11, 1)
WEIGHTS = st.sampled_from(["a/one", "A/One", "b/two", NOT_PUBLISHED])
PRECISIONS = st.sampled_from([None, "bf16", "fp8"])


def alias(name: str = "m", weights: str = "a/one", precision: str | None = "bf16", **fields: object) -> Alias:
    return replace(Alias(name=name, weights=weights, precision=precision), **fields)


ALIASES = st.none() | st.builds(lambda weights, precision: alias("m", weights, precision), WEIGHTS, PRECISIONS)


@given(api=ALIASES, served=ALIASES)
def test_the_same_is_only_what_is_known_and_equal_on_both_sides(api: Alias | None, served: Alias | None) -> None:
    found = compare(api, served).relation
    both_known = api is not None and served is not None
    is_published = NOT_PUBLISHED not in {one.weights for one in (api, served) if one is not None}
    if both_known and is_published and api.weights.lower() == served.weights.lower():  # type: ignore[union-attr]
        precisions = {api.precision, served.precision}  # type: ignore[union-attr]
        expected = "precision_unknown" if None in precisions else "same" if len(precisions) == 1 else "other_precision"
    elif both_known or not is_published:
        expected = "other_weights"
    else:
        expected = "unknown"
    assert found == expected
    assert compare(served, api).relation == found, "lanes may be swapped"


@given(st.integers(-3, 3), st.none() | st.integers(-3, 0), st.none() | st.integers(1, 3))
def test_an_alias_holds_from_its_first_day_until_the_day_it_ends(day: int, start: int | None, end: int | None) -> None:
    def on(offset: int | None) -> date | None:
        return None if offset is None else DAY + timedelta(days=offset)

    aliases = Aliases([alias(from_date=on(start), to_date=on(end))])
    held = (start is None or start <= day) and (end is None or day < end)
    assert (aliases.known("M", day=DAY + timedelta(days=day)) is not None) == held


def test_what_is_declared_goes_before_what_is_shipped_and_two_that_disagree_are_none() -> None:
    shipped, declared = alias(precision="bf16"), alias(precision="fp8", is_declared=True)
    assert Aliases([shipped, declared]).known("m", day=DAY) == declared
    assert Aliases([shipped, alias(precision="int4")]).known("m", day=DAY) is None
    assert Aliases([declared, alias(weights="b/two", is_declared=True)]).known("m", day=DAY) is None


def test_a_name_of_one_api_is_not_that_name_elsewhere() -> None:
    aliases = Aliases([alias(provider="groq"), alias("*", NOT_PUBLISHED, None, provider="openai")])
    assert aliases.known("m", day=DAY) is None
    assert aliases.known("m", day=DAY, provider="together") is None
    assert aliases.known("m", day=DAY, provider="openai") == alias("*", NOT_PUBLISHED, None, provider="openai")
    assert [one.provider for one in aliases.sellers("A/ONE", day=DAY)] == ["groq"]
