"""A measurement from its plan to what is landed of it: two requests to get the length right, then the search."""

import itertools
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any

from pipeline.economics.exact import to_places
from pipeline.economics.plausibility import Hardware, why_it_does_not_fit, why_it_is_too_fast
from pipeline.economics.rent import gpu_rent
from pipeline.errors import BreakevenError
from pipeline.formats.histogram import Histogram
from pipeline.formats.masking import masked
from pipeline.measure.arrival import Curve, arrivals
from pipeline.measure.endpoint import MOST_AT_ONCE, Endpoint, EndpointRefusedError
from pipeline.measure.requests import Lengths, Prompts
from pipeline.measure.search import Answer, Bounds, Found, ServiceLevel, Trial, find_capacity
from pipeline.measure.spread import FromHistograms, Spread

# A search of doubling and halving takes about so many trials; each has its share of the time.
TRIALS = 12
_SEED = 20261129
_PLACES = Decimal("0.001")

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be sent, at most. `replicas`: how many of them the endpoint stands for.

    `lengths`: on the mean. `spread`, `curve`: how its own requests differ, and how unevenly they come; None where
    nobody knows, and then all are alike, at a constant rate. `likeness`: in words, what is its own and what assumed.
    """

    lengths: Lengths
    level: ServiceLevel
    bounds: Bounds
    replicas: int
    gpus: int | None
    gpu_hour: Decimal | None
    currency: str
    spread: Spread | None = None
    curve: Curve | None = None
    likeness: str = ""

    def cost(self, seconds: float) -> Decimal | None:
        """What the GPUs cost for so long; None where their number or their rate is unknown."""
        if self.gpus is None or self.gpu_hour is None:
            return None
        hours = Fraction(math.ceil(seconds), 3600)
        return to_places(gpu_rent(gpu_hour_rate=self.gpu_hour, gpus=self.gpus * self.replicas, hours=hours), 2)

    @property
    def trial_seconds(self) -> float:
        return self.bounds.seconds / TRIALS


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of it. `tokens_per_second`: of one replica, all classes together, never more than was served."""

    found: Found
    best: Trial
    tokens_per_second: Decimal
    seconds: float

    @property
    def request_count(self) -> int:
        return sum(trial.request_count for trial in self.found.trials)


def measure(
    endpoint: Endpoint, plan: Plan, *, clock: Clock, sleep: Callable[[float], None] = time.sleep
) -> tuple[Endpoint, Measured]:
    """Raise the load until the service level breaks. BreakevenError where the endpoint cannot be measured, or holds the
    level under no load. The endpoint comes back as it was asked: one that does not know `ignore_eos` is not told it.
    """
    began = clock()
    endpoint, prompts, answer_seconds = _calibrated(endpoint, plan, clock)
    numbers = itertools.count(2)

    def run(per_second: float, seconds: float) -> Trial:
        return _trial(endpoint, prompts, plan, numbers, per_second, seconds, clock, sleep)

    found = find_capacity(
        run,
        level=plan.level,
        first_per_second=max(1 / (2 * answer_seconds), 2 / plan.trial_seconds),
        trial_seconds=plan.trial_seconds,
        tokens_per_request=plan.lengths.tokens,
        bounds=plan.bounds,
    )
    if found.best is None:
        raise BreakevenError(_why_none(found, plan))
    per_replica = Decimal(repr(found.best.tokens_per_second)) / plan.replicas
    return endpoint, Measured(
        found=found,
        best=found.best,
        tokens_per_second=per_replica.quantize(_PLACES, rounding=ROUND_FLOOR),
        seconds=clock() - began,
    )


def refuse_impossible(measured: Measured, plan: Plan, hardware: Hardware | None) -> None:
    """BreakevenError where one replica cannot have done what was measured: then something else was measured.

    `hardware`: what breakeven.yaml says the replica is of; None, or a context that it does not state, bounds less.
    """
    if hardware is None:
        return
    lengths, requests = plan.lengths, hardware.requests
    own = lengths.prompt_tokens - lengths.shared_prompt_tokens + Fraction(lengths.output_tokens, 2)
    hardware = replace(hardware, requests=replace(requests, context_tokens=own))
    why = why_it_does_not_fit(hardware) or why_it_is_too_fast(
        hardware, tokens_per_second=measured.tokens_per_second, mix=measured.best.tokens_by_class
    )
    if why is not None:
        raise BreakevenError(
            f"One replica cannot do what was measured: {why}. Nothing was landed. Are there more replicas behind the "
            f"endpoint than --replicas {plan.replicas}, or is the model another than breakeven.yaml says?"
        )


def _why_none(found: Found, plan: Plan) -> str:
    if not found.trials:
        return (
            f"The bounds ({plan.bounds.seconds:.0f} s, {plan.bounds.requests} requests, {plan.bounds.tokens} tokens) "
            "leave no room for one trial. Raise --duration, --max-requests or --max-tokens."
        )
    least = min(found.trials, key=lambda trial: trial.offered_per_second)
    first, per_token = least.first_token_seconds(), least.seconds_per_output_token()
    seen = [
        *([] if first is None else [f"first token after {first:.2f} s"]),
        *([] if per_token is None else [f"{per_token:.3f} s a token"]),
        *([f"{least.failed_count} of {least.request_count} requests failed"] if least.failed_count else []),
    ]
    return (
        f"The service level does not hold at {least.offered_per_second:.3f} requests a second "
        f"({', '.join(seen) or 'no answer'}). Nothing was landed."
    )


def _calibrated(endpoint: Endpoint, plan: Plan, clock: Clock) -> tuple[Endpoint, Prompts, float]:
    """How many tokens a word of ours is, and how long one request alone takes."""
    prompts = Prompts(
        lengths=plan.lengths,
        tokens_per_word=1.0,
        seed=_SEED,
        spread=plan.spread,
        longest_tokens=endpoint.longest_tokens(),
    )
    text = prompts.text(0, plan.lengths)
    try:
        first = endpoint.ask(text, output_tokens=plan.lengths.output_tokens, due_at=clock())
    except EndpointRefusedError as error:
        if "HTTP 400" not in str(error) and "HTTP 422" not in str(error):
            raise
        endpoint = replace(endpoint, ignores_eos=False)
        first = endpoint.ask(text, output_tokens=plan.lengths.output_tokens, due_at=clock())
    counted = sum(count for name, count in first.tokens_by_class.items() if name != "output")
    prompts = replace(prompts, tokens_per_word=max(counted, 1) / len(text.split()))
    due = clock()
    second = endpoint.ask(prompts.text(1, plan.lengths), output_tokens=plan.lengths.output_tokens, due_at=due)
    return endpoint, prompts, max(second.last_token_at - due, 1e-3)


def _trial(
    endpoint: Endpoint,
    prompts: Prompts,
    plan: Plan,
    numbers: "itertools.count[int]",
    per_second: float,
    seconds: float,
    clock: Clock,
    sleep: Callable[[float], None],
) -> Trial:
    """Requests when they are due, however many still wait: so a server that falls behind is seen to."""
    futures: list[Future[Answer]] = []
    refused = 0
    started = clock()
    with ThreadPoolExecutor(max_workers=MOST_AT_ONCE) as workers:
        for due in arrivals(per_second=per_second, seconds=seconds, seed=_SEED + next(numbers), curve=plan.curve):
            sleep(max(0.0, started + due - clock()))
            if sum(not future.done() for future in futures) >= MOST_AT_ONCE:
                refused += 1
                continue
            number = next(numbers)
            lengths = prompts.lengths_of(number)
            text = prompts.text(number, lengths)
            futures.append(
                workers.submit(endpoint.ask, text, output_tokens=lengths.output_tokens, due_at=started + due)
            )
    answers = [future.result() for future in futures if future.exception() is None]
    unexpected = [error for future in futures if (error := future.exception()) is not None]
    for error in unexpected:
        if not isinstance(error, EndpointRefusedError):
            raise error
    return Trial(
        offered_per_second=per_second,
        started_at=started,
        seconds=seconds,
        answers=answers,
        failed_count=refused + len(unexpected),
    )


def event_body(
    measured: Measured, plan: Plan, *, endpoint: Endpoint, workload: str, began: datetime, ended: datetime, by: str
) -> dict[str, Any]:
    """What is landed of a measurement: the capacity as breakeven.yaml would declare it, and how it came about."""
    level, best, broken = plan.level, measured.best, measured.found.broken_per_second
    held = [
        *([] if level.first_token_seconds is None else [f"first token within {level.first_token_seconds:g} s"]),
        *([] if level.seconds_per_output_token is None else [f"{level.seconds_per_output_token:g} s a token"]),
    ]
    end = "it never broke, so at least that" if broken is None else f"it broke at {broken:.2f}"
    source = (
        f"measured on {began:%Y-%m-%d} from {began:%H:%M} to {ended:%H:%M} UTC like {workload}: {' and '.join(held)} "
        f"for 95% of {best.request_count} requests at {best.offered_per_second:.2f} a second; {end}"
    )
    cost = plan.cost(measured.seconds)
    return {
        "capacity": {
            "tokens_per_second": str(measured.tokens_per_second),
            "measured_on": began.date().isoformat(),
            "source": source,
        },
        "workload": workload,
        "endpoint": masked(endpoint.address, []),
        "model": endpoint.model,
        "replicas": plan.replicas,
        "from": began.isoformat(),
        "to": ended.isoformat(),
        "level": {
            "first_token_seconds": level.first_token_seconds,
            "seconds_per_output_token": level.seconds_per_output_token,
        },
        "prompt_tokens": plan.lengths.prompt_tokens,
        "shared_prompt_tokens": plan.lengths.shared_prompt_tokens,
        "output_tokens": plan.lengths.output_tokens,
        "spread": _landed_spread(plan.spread),
        "curve": None if plan.curve is None else vars(plan.curve),
        "likeness": plan.likeness,
        "seed": _SEED,
        "held_per_second": best.offered_per_second,
        "broken_per_second": broken,
        "tokens_per_second_by_class": {
            name: round(count / best.served_seconds / plan.replicas, 3) for name, count in best.tokens_by_class.items()
        },
        "request_count": measured.request_count,
        "cost": None if cost is None else str(cost),
        "currency": plan.currency,
        "by": by,
    }


def _landed_spread(spread: Spread | None) -> dict[str, Any] | None:
    """What the lengths were drawn from: whole where it is a histogram; of rows, how many they were."""
    if not isinstance(spread, FromHistograms):
        return None if spread is None else {"request_count": spread.request_count}

    def said(histogram: Histogram) -> dict[str, Any]:
        return {"edges": histogram.edges, "counts": histogram.counts, "tokens": histogram.tokens}

    return {"prompt": said(spread.prompt), "output": said(spread.output)}
