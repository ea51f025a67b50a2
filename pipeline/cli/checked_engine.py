"""How `check` prints what an engine's counters say."""

from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.check.comparison import MODE, PRICES_CURRENCY, ApiBill
from pipeline.check.engine import Priced, Window, share_cached, tokens_per_second
from pipeline.check.engine_answer import EngineAnswer, WindowName, class_words, whole
from pipeline.cli.options import console, print_table, print_without_ends
from pipeline.formats import currency as currencies
from pipeline.formats.writing import fixed, printable

_MOST_REPLICAS = 20
# Where no token was served, a token would have cost more than anywhere else.
_ENDLESS = Decimal("1e30")
_NAMES: dict[WindowName, str] = {"observed": "observed", "since_start": "since it started"}


def print_engine(answer: EngineAnswer) -> None:
    """The number first, then what it is made of, what an API would bill, and what is unknown."""
    out = console()
    say(out, f"breakeven check, {answer.subject}", style="bold")
    of = "engine" if answer.engine_count == 1 else f"{answer.engine_count} engines"
    where = f" at {len(answer.replicas)} addresses" if answer.replicas else ""
    say(out, f"{', '.join(answer.models)}, {of}{where} on {_gpus(answer)}{_rate(answer)}")
    out.print()
    title = f"Realized cost per million tokens, accrued at your rate, {answer.currency}"
    columns = ["window", "from (UTC)", "length", "tokens", "cost", "full", "active", "marginal"]
    print_table(columns, [_row(answer, _NAMES[name], one) for name, one in answer.windows.items()], title)
    for word, said in _meanings(answer):
        item(out, word, said)
    out.print()
    if answer.replicas:
        _print_replicas(out, answer)
        out.print()
    _print_tokens(answer)
    if answer.compared is not None:
        out.print()
        _print_apis(out, answer)
    out.print()
    say(out, "Unknown", style="bold")
    for said in answer.unknown:
        item(out, "-", said)


def say(out: Console, text: str, *, style: str = "") -> None:
    """A line of text, of which nothing steers the terminal."""
    out.print(Text(_on_one_line(text), style=style))


def _on_one_line(text: str) -> str:
    """A name with a line break in it makes no line of its own."""
    return printable(text.replace("\n", " "))


def item(out: Console, word: str, said: str) -> None:
    """A word, and what is said of it, indented."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=8 if len(word) > 1 else 2)
    table.add_column(overflow="fold")
    table.add_row(Text(word), Text(_on_one_line(said)))
    print_without_ends(out, table)


def _gpus(answer: EngineAnswer) -> str:
    count = f"{answer.gpu_count} GPU{'' if answer.gpu_count == 1 else 's'}"
    return f"{count} (assumed)" if answer.is_gpu_count_assumed else count


def _rate(answer: EngineAnswer) -> str:
    if answer.rate is None:
        return ", at a rate that was not given"
    return f" at {currencies.money(answer.rate, answer.currency, most_decimals=12)} per GPU-hour"


def _print_replicas(out: Console, answer: EngineAnswer) -> None:
    """Each address by itself, the dearest token first."""
    largest = sorted(answer.replicas.items(), key=lambda pair: (-(pair[1].units.full_per_mtok or _ENDLESS), pair[0]))
    columns = ["address", "from (UTC)", "length", "tokens", "cost", "full", "active", "marginal"]
    print_table(columns, [_row(answer, name, one) for name, one in largest[:_MOST_REPLICAS]], "By address")
    if len(largest) > _MOST_REPLICAS:
        say(out, f"{len(largest) - _MOST_REPLICAS} more are counted and not shown; --format json has them all.")


def _row(answer: EngineAnswer, name: str, one: Priced) -> list[str]:
    window = one.window
    return [
        name,
        f"{window.from_at:%Y-%m-%d %H:%M:%S}",
        length(window),
        f"{'≥ ' if window.is_lower_bound else ''}{window.tokens.total:,}",
        _money(one.cost, answer, decimals=6),
        *(
            _unit(price, answer, one, is_at_most=window.is_lower_bound or (figure == "active" and _is_coarse(window)))
            for figure, price in (
                ("full", one.units.full_per_mtok),
                ("active", one.units.active_per_mtok),
                ("marginal", one.units.marginal_per_mtok),
            )
        ),
    ]


def _is_coarse(window: Window) -> bool:
    """Whether its scrapes are too few to tell when in it the engine served."""
    return window.interval_count == 1 and bool(window.serving_ms)


def _unit(price: Decimal | None, answer: EngineAnswer, one: Priced, *, is_at_most: bool) -> str:
    if not one.window.tokens.total:
        return "undefined"
    if price is None:
        return "unknown"
    return f"{'≤ ' if is_at_most and price else ''}{_money(price, answer, decimals=4)}"


def _money(amount: Decimal | None, answer: EngineAnswer, *, decimals: int) -> str:
    return "unknown" if amount is None else currencies.priced(fixed(amount, decimals), answer.currency)


def length(window: Window) -> str:
    """How long a window is: 20.0 s, 3 h 05 min, 12 d 4 h."""
    return _time(window.milliseconds)


def _time(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    if seconds < 120:
        return f"{fixed(Decimal(milliseconds) / 1000, 1)} s"
    minutes, hours, days = seconds // 60 % 60, seconds // 3600 % 24, seconds // 86_400
    if days:
        return f"{days:,} d {hours} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02} s"


def _meanings(answer: EngineAnswer) -> list[tuple[str, str]]:
    """What each of the three numbers is, here."""
    said = [("full", "all GPU time of the window over all tokens served in it: compare this one with an API's price")]
    seen = answer.windows.get("observed")
    if seen is None or seen.window.serving_ms is None:
        said.append(("active", "the time in which it served: not known from one scrape"))
        said.append(("marginal", "one more token: not known from one scrape"))
        return said
    idle = _time(seen.window.idle_ms or 0)
    serving = f"{_time(seen.window.serving_ms)} of {_time(seen.window.observed_ms)}"
    said.append(("active", f"only the time in which a request ran or a counter moved ({serving}): rank models by it"))
    more = (
        "undefined, because no token was served"
        if not seen.window.tokens.total
        else f"0, because it was idle for {idle} of the window and an idle GPU is paid all the same"
        if seen.window.idle_ms
        else "unknown, because no idle moment was seen"
    )
    said.append(("marginal", f"one more token: {more}: route traffic by it"))
    return said


def _print_tokens(answer: EngineAnswer) -> None:
    counted = {name: one.window.tokens for name, one in answer.windows.items()}
    classes = list(dict.fromkeys(name for tokens in counted.values() for name in tokens.by_class()))
    rows = []
    for token_class in classes:
        words = next(class_words(tokens)[token_class] for tokens in counted.values())
        cells = [tokens.by_class().get(token_class) for tokens in counted.values()]
        rows.append([token_class, *("—" if count is None else f"{count:,}" for count in cells), words])
    requests = [tokens.requests for tokens in counted.values()]
    rows.append(["requests ended", *("—" if count is None else f"{count:,}" for count in requests), "not tokens"])
    print_table(["class", *(_NAMES[name] for name in counted), "what"], rows, "Tokens by class")


def _print_apis(out: Console, answer: EngineAnswer) -> None:
    assert answer.compared is not None
    window = answer.windows[answer.compared].window
    share = share_cached(window.tokens)
    own = "at your hit rate" if share is None else f"at your {float(share):.1%} cache hits"
    columns = ["API model", "no cache hits", own, "per 1M, no hits", "per 1M, your hits", "equal from"]
    of = f"{_NAMES[answer.compared]}, {window.tokens.total:,} tokens"
    title = f"The same tokens ({of}) at an API's list price, {PRICES_CURRENCY}"
    print_table(columns, [_api_row(answer, bill) for bill in answer.apis], title)
    for bill in answer.apis:
        if bill.why is not None:
            item(out, "-", f"{bill.model}: {bill.why}.")
    speed = tokens_per_second(window)
    notes = [
        f"List prices of {answer.price_book} on {answer.prices_on}: {MODE} tier, requests of up to 200k tokens",
        "what writing to an API's cache costs is left out",
        "a price says nothing of quality, and another model counts other tokens in the same text",
    ]
    say(out, f"{'; '.join(notes)}.")
    if speed is not None and answer.rate is not None:
        ran = f"it ran at {whole(speed)}"
        say(out, f"equal from: tokens a second of this mix at which that API costs what your GPUs do; {ran}.")


def _api_row(answer: EngineAnswer, bill: ApiBill) -> list[str]:
    equal = answer.equal_tokens_per_second(bill)
    named = bill.model if bill.provider is None else f"{bill.provider}/{bill.model}"
    amounts = (
        (bill.uncached_cost, 6), (bill.cached_cost, 6), (bill.uncached_per_mtok, 4), (bill.cached_per_mtok, 4),
    )  # fmt: skip
    return [
        named,
        *(
            ("unpriced" if bill.why else "unknown")
            if amount is None
            else currencies.priced(fixed(amount, decimals), PRICES_CURRENCY)
            for amount, decimals in amounts
        ),
        "—" if equal is None else f"{whole(equal)} tokens/s",
    ]
