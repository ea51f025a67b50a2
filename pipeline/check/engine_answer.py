"""What `breakeven check` answers about an engine: windows, unit costs, two API bills, and what is unknown."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from pipeline.check.comparison import (
    PRICES_CURRENCY,
    ApiBill,
    api_bill,
    equal_tokens_per_second,
    price_book_label,
)
from pipeline.check.engine import (
    CheckError,
    Priced,
    Tokens,
    Window,
    added,
    engines_of,
    joined,
    observed,
    priced,
    share_cached,
    since_start,
    tokens_per_second,
)
from pipeline.check.roles import split_by_role
from pipeline.check.watching import Watched
from pipeline.economics.exact import to_places
from pipeline.formats.engines import EngineRow
from pipeline.formats.writing import fixed

WindowName = Literal["observed", "since_start"]
_PLACES = 18
_SHARE_PLACES = 6


@dataclass(frozen=True, kw_only=True)
class EngineAnswer:
    """`windows`: observed first where there are two scrapes, then since the process started where that is said.

    `replicas`: of several addresses each by itself, by name; they add up to what is observed. `gpu_count`: of all.

    `compared`: the window whose tokens `apis` price; None where no window has tokens. `rate`: of one GPU-hour.
    """

    subject: str
    models: tuple[str, ...]
    engine_count: int
    gpu_count: int
    is_gpu_count_assumed: bool
    rate: Decimal | None
    currency: str
    windows: Mapping[WindowName, Priced]
    replicas: Mapping[str, Priced]
    compared: WindowName | None
    apis: tuple[ApiBill, ...]
    prices_on: date
    price_book: str
    unknown: tuple[str, ...]

    def equal_tokens_per_second(self, bill: ApiBill) -> Fraction | None:
        """At what rate, of the same mix, that API would charge what the GPUs cost; None where that is not known."""
        cost = None if self.compared is None else self.windows[self.compared].cost_per_hour
        if cost is None or self.currency != PRICES_CURRENCY:
            return None
        price = bill.uncached_per_mtok if bill.cached_per_mtok is None else bill.cached_per_mtok
        return equal_tokens_per_second(cost_per_hour=cost, api_per_mtok=price)


def engine_answer(
    watched: Sequence[Watched],
    *,
    subject: str,
    rate: Decimal | None,
    currency: str,
    gpu_count: int | None,
    apis: Sequence[str],
) -> EngineAnswer:
    """Scrapes of one address or several to an answer. `gpu_count`: of each; None: one a rank, said to be assumed.

    Raises CheckError where no address gives a window: its scrapes are not of one process at a time, or too few.
    """
    replicas, gpus, failed = _replicas(watched, rate=rate, gpu_count=gpu_count)
    windows: dict[WindowName, Priced] = {"observed": added(list(replicas.values()))} if replicas else {}
    if len(watched) == 1:
        lifetime = since_start(watched[0].readings[-1])
        if lifetime is not None:
            windows["since_start"] = priced(lifetime, rate_per_gpu_hour=rate, gpu_count=sum(gpus))
    if not windows:
        raise CheckError("One scrape that does not say when its process started is no window. Give it time: --window.")
    engines = [engine for one in watched for engine in engines_of(one.readings)]
    compared = next((name for name, one in windows.items() if one.window.tokens.total), None)
    day = max(one.window.to_at for one in windows.values()).date()
    bills = [] if compared is None else [api_bill(windows[compared].window.tokens, api=api, day=day) for api in apis]
    notes = [*(f"{note[0].upper()}{note[1:]}." for one in watched for note in one.notes), *failed]
    unknown = _unknown(
        notes, windows, kinds=_kinds(watched), gpus=gpus, gpu_count=gpu_count, rate=rate, currency=currency
    )
    return EngineAnswer(
        subject=subject,
        models=tuple(dict.fromkeys(model for model, _ in sorted(engines))),
        engine_count=len(engines),
        gpu_count=sum(gpus),
        is_gpu_count_assumed=gpu_count is None,
        rate=rate,
        currency=currency,
        windows=windows,
        replicas=replicas if len(watched) > 1 else {},
        compared=compared,
        apis=tuple(bills),
        prices_on=day,
        price_book=price_book_label(),
        unknown=tuple(dict.fromkeys(unknown)),
    )


def _replicas(
    watched: Sequence[Watched], *, rate: Decimal | None, gpu_count: int | None
) -> tuple[dict[str, Priced], list[int], list[str]]:
    """Each address by its name, the GPUs of each, and why some say nothing. The only one's failure is raised."""
    windows: dict[str, Window] = {}
    counts: dict[str, int] = {}
    gpus: list[int] = []
    failed: list[str] = []
    for one in watched:
        count = gpu_count or len({rank for _, rank in engines_of(one.readings)})
        try:
            segments = [observed(segment) for segment in one.segments()]
        except CheckError as error:
            if len(watched) == 1:
                raise
            failed.append(f"{one.name} is left out, GPUs and tokens: {error}")
            continue
        if not segments and len(watched) > 1:
            failed.append(f"{one.name} is left out, GPUs and tokens: fewer than two scrapes in a row are known of it.")
            continue
        gpus.append(count)
        if not segments:
            continue
        window = joined(segments)
        unobserved_ms = window.milliseconds - window.observed_ms
        if unobserved_ms:
            failed.append(
                f"{one.name or 'The engine'} was not observed for {fixed(Decimal(unobserved_ms) / 60_000, 1)} min in "
                "between: neither that time nor its tokens are counted, and it is not called idle."
            )
        windows[one.name], counts[one.name] = window, count
    if not windows and failed:
        raise CheckError(" ".join(failed))
    owned, said = split_by_role(windows, {one.name: one.readings for one in watched})
    replicas = {name: priced(window, rate_per_gpu_hour=rate, gpu_count=counts[name]) for name, window in owned.items()}
    return replicas, gpus, [*failed, *said]


# As the table of engines says of their releases (`breakeven agent engines`).
_COUNTED_AT_THEIR_END = {"sglang": "SGLang", "tgi": "TGI"}


def _kinds(watched: Sequence[Watched]) -> set[tuple[str, str | None]]:
    return {
        (row.engine, row.prompt_counts) if isinstance(row, EngineRow) else ("vllm", "delivered")
        for one in watched
        for reading in one.readings
        for row in reading.rows
    }


def _unknown(
    notes: Sequence[str],
    windows: Mapping[WindowName, Priced],
    *,
    kinds: Set[tuple[str, str | None]],
    gpus: Sequence[int],
    gpu_count: int | None,
    rate: Decimal | None,
    currency: str,
) -> list[str]:
    """`kinds`: (engine, what its prompt counter counts) of all that were read."""
    said: list[str] = []
    if rate is None:
        said.append("What a GPU-hour costs: --gpu-hour was not given, so there is no cost, and it is not 0.")
    if gpu_count is None:
        each = "one" if sum(gpus) == 1 else f"{sum(gpus)}, one for each engine rank"
        said.append(
            f"How many GPUs serve it: --gpus was not given; {each} assumed. On k times as many all costs are k x."
        )
    seen = windows.get("observed")
    if seen is not None:
        said += [f"{note[0].upper()}{note[1:]}." for note in seen.window.notes]
        said += _of_observed(seen.window)
    else:
        said.append("What it serves now: only one scrape was taken, so this is its whole life so far, and no more.")
    if "since_start" not in windows and len(gpus) == 1:
        said.append("Since when it counts: the engine does not say when its process started.")
    if any(counts == "computed" for _, counts in kinds):
        said.append(
            "Prompt tokens found in a cache: this engine counts the computed ones alone, so more was delivered than is "
            "shown, and per million delivered it costs less."
        )
    elif any(one.window.tokens.cache_read is None for one in windows.values()):
        said.append("Prefix-cache hits: this engine does not count them, so cached and computed prompts are one class.")
    late = sorted(engine for engine, _ in kinds if engine in _COUNTED_AT_THEIR_END)
    if late:
        named = " and ".join(_COUNTED_AT_THEIR_END[engine] for engine in dict.fromkeys(late))
        said.append(f"Tokens of requests that run: {named} counts a request's tokens when it ends. Watch for longer.")
    said += notes
    if currency != PRICES_CURRENCY:
        said.append(
            f"List prices are in {PRICES_CURRENCY} and are not converted: beside {currency} nothing is compared."
        )
    said.append(
        "NVML was not seen: what else runs on these GPUs, and GPUs beside this engine that are paid for and idle."
    )
    sampled = "; a prompt sampled n times is counted n times by vLLM" if any(one == "vllm" for one, _ in kinds) else ""
    said.append(f"Not in any figure: storage, network, people{sampled}.")
    return said


def _of_observed(window: Window) -> list[str]:
    said = []
    if not window.tokens.total:
        said.append("Cost per token in the window: no token was served in it, so it is undefined. It is not 0.")
    if window.interval_count == 1 and window.serving_ms:
        said.append("When in the window it served: two scrapes cannot tell, so active is at most what is shown.")
    if not window.idle_ms:
        said.append(
            "What one more token costs: no idle moment was seen, and how much the engine could serve is not known."
        )
    return said


# --- for programs ----------------------------------------------------------------------------------------------------


def document(answer: EngineAnswer) -> dict[str, Any]:
    """The answer as JSON has it: decimals as text, null where undefined or unknown."""
    return {
        "check": "engine",
        "subject": answer.subject,
        "models": list(answer.models),
        "engine_count": answer.engine_count,
        "gpu_count": answer.gpu_count,
        "is_gpu_count_assumed": answer.is_gpu_count_assumed,
        "rate_per_gpu_hour": _text(answer.rate),
        "currency": answer.currency,
        "cost_measure": "accrued",
        "windows": [{"window": name, **_window(one)} for name, one in answer.windows.items()],
        "replicas": [{"replica": name, **_window(one)} for name, one in answer.replicas.items()],
        "apis": {
            "tokens_of_window": answer.compared,
            "currency": PRICES_CURRENCY,
            "measure": "list",
            "price_book": answer.price_book,
            "prices_on": answer.prices_on.isoformat(),
            "bills": [_bill(answer, bill) for bill in answer.apis],
        },
        "unknown": list(answer.unknown),
    }


def rows(answer: EngineAnswer) -> list[dict[str, Any]]:
    """The same for a spreadsheet: one figure a row, under what it is of."""
    said = document(answer)
    found: list[dict[str, Any]] = []
    for part, key in (("window", "windows"), ("replica", "replicas")):
        for one in said[key]:
            tokens, of = one.pop("tokens"), one.pop(part)
            figures = {**one, **{f"{token_class}_tokens": count for token_class, count in tokens.items()}}
            found += [{"part": part, "of": of, "figure": figure, "value": value} for figure, value in figures.items()]
    for bill in said["apis"]["bills"]:
        of = f"{bill['provider'] or '?'}/{bill['model']}"
        for figure, value in bill.items():
            if figure not in ("provider", "model"):
                found.append({"part": "api", "of": of, "figure": figure, "value": value})
    found += [{"part": "unknown", "of": answer.subject, "figure": "unknown", "value": text} for text in answer.unknown]
    return found


def _window(one: Priced) -> dict[str, Any]:
    window = one.window
    speed, cached = tokens_per_second(window), share_cached(window.tokens)
    return {
        "from_at": window.from_at.isoformat(timespec="milliseconds"),
        "to_at": window.to_at.isoformat(timespec="milliseconds"),
        "milliseconds": window.milliseconds,
        "observed_milliseconds": window.observed_ms,
        "gpu_milliseconds": one.gpu_ms,
        "serving_milliseconds": window.serving_ms,
        "cost": _text(one.cost),
        "full_per_mtok": _text(one.units.full_per_mtok),
        "active_per_mtok": _text(one.units.active_per_mtok),
        "marginal_per_mtok": _text(one.units.marginal_per_mtok),
        "is_token_lower_bound": window.is_lower_bound,
        "tokens": {**window.tokens.by_class(), "all": window.tokens.total},
        "requests": window.tokens.requests,
        "tokens_per_second": None if speed is None else _text(to_places(speed, _SHARE_PLACES)),
        "cached_ratio": None if cached is None else _text(to_places(cached, _SHARE_PLACES)),
    }


def _bill(answer: EngineAnswer, bill: ApiBill) -> dict[str, Any]:
    equal = answer.equal_tokens_per_second(bill)
    return {
        "provider": bill.provider,
        "model": bill.model,
        "no_cache_hits_cost": _text(bill.uncached_cost),
        "own_cache_hits_cost": _text(bill.cached_cost),
        "no_cache_hits_per_mtok": _text(bill.uncached_per_mtok),
        "own_cache_hits_per_mtok": _text(bill.cached_per_mtok),
        "equal_tokens_per_second": None if equal is None else _text(to_places(equal, _SHARE_PLACES)),
        "unpriced_because": bill.why,
    }


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def class_words(tokens: Tokens) -> dict[str, str]:
    """What each class is, in words."""
    return {
        "input": "prompt, cached or computed: not told apart",
        "input_uncached": "prompt, computed",
        "input_cache_read": "prompt, found in the prefix cache",
        "output": "generated",
    }


def whole(value: Fraction) -> str:
    """A rate as a person reads it: four figures are enough."""
    return fixed(Decimal(round(value)) if value >= 100 else to_places(value, 1), 0 if value >= 100 else 1)
