"""Requests like a workload's: how long, how much of them cached, how unevenly due; and which of it is its own."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import BreakevenError, QuarantineError
from pipeline.landing.project import Project
from pipeline.measure.arrival import Curve, curve_of
from pipeline.measure.logs import Requests, read_requests
from pipeline.measure.observed import Engine, Pair, spool_lengths, together
from pipeline.measure.requests import Lengths, lengths_like
from pipeline.measure.spread import FromHistograms, FromRows, Spread
from pipeline.paths import sql_root
from pipeline.reports.questions import Questions
from pipeline.sources.ingest import context_for_probe
from pipeline.sources.prometheus import NAME as PROMETHEUS
from pipeline.sources.prometheus_lengths import request_lengths

_MINUTE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class BusiestHour:
    """The workload's own, and how many requests of the mean length a second it asks for."""

    begins_at: datetime
    tokens_per_second: float
    requests_per_second: float


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Requests like a workload's. `own`, `assumed`: what of it is which, in words."""

    lengths: Lengths
    spread: Spread | None
    curve: Curve | None
    busiest: BusiestHour | None
    own: Sequence[str]
    assumed: Sequence[str]

    @property
    def words(self) -> str:
        return f"Its own: {'; '.join(self.own)}. Assumed: {'; '.join(self.assumed)}."


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """One thing that is known, where it is from, and what had to be assumed beside it."""

    spread: Spread | None = None
    own: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def likeness(
    questions: Questions,
    project: Project,
    *,
    workload: str,
    deployment: str | None,
    prompt_tokens: int | None,
    requests_file: Path | None,
    trial_seconds: float,
    now: datetime,
    environment: Mapping[str, str],
) -> Likeness:
    """What is known of a workload's requests. `prompt_tokens`: the mean, said by hand. BreakevenError where the tokens
    or the length of a request are known of nothing.
    """
    requests = None if requests_file is None else read_requests(requests_file)
    mix = _mix(questions, workload, requests)
    counted = _prompts(questions, deployment)
    mean = prompt_tokens or _mean_prompt(requests, counted)
    if mean is None:
        raise BreakevenError(
            "How long a request is, no engine of this workload has counted. Give --prompt-tokens, or --requests with a "
            "file of requests that were made."
        )
    try:
        lengths = lengths_like(mix, prompt_tokens=mean)
    except ValueError as error:
        raise BreakevenError(f"{workload}: {error}") from None
    spread = _spread(questions, project, deployment, requests, now, environment)
    own, assumed = [*spread.own], [*spread.assumed]
    if prompt_tokens is not None:
        assumed.append(f"prompts of {prompt_tokens:,} tokens on the mean (--prompt-tokens)")
    is_cached = "input_cache_read" in mix
    (own if is_cached else assumed).append(
        f"{lengths.shared_prompt_tokens / lengths.prompt_tokens:.0%} of each prompt cached"
        + (", its share of all prompts" if is_cached else ": no cache hits were metered")
    )
    curve = _curve(questions, deployment, requests, counted.step_seconds, trial_seconds, own, assumed)
    return Likeness(
        lengths=lengths,
        spread=spread.spread,
        curve=curve,
        busiest=_busiest(questions, workload, lengths),
        own=own,
        assumed=assumed,
    )


def _asked(questions: Questions, name: str, **parameters: object) -> list[dict[str, Any]]:
    text = (sql_root() / "measure" / f"{name}.sql").read_text(encoding="utf-8")
    return questions.select(text, parameters).to_dicts()


def _mix(questions: Questions, workload: str, requests: Requests | None) -> Mapping[str, int]:
    """Tokens by class. What a file of requests does not say is how much was cached."""
    rows = _asked(questions, "mix", workload=workload)
    metered = {row["token_class"]: int(row["tokens"]) for row in rows}
    if requests is None:
        if not metered:
            raise BreakevenError(f"No tokens of {workload} were metered: there is nothing to imitate yet.")
        return metered
    prompt, output = (sum(row[side] for row in requests.rows) for side in (0, 1))
    whole = sum(count for name, count in metered.items() if name.startswith("input_"))
    cached = prompt * metered.get("input_cache_read", 0) // whole if whole else 0
    return {"input_uncached": prompt - cached, **({"input_cache_read": cached} if cached else {}), "output": output}


@dataclass(frozen=True)
class _Counted:
    """Prompt tokens and requests as the deployment's engines counted them, and how long a step of a curve is."""

    tokens: int
    requests: int
    step_seconds: int


def _prompts(questions: Questions, deployment: str | None) -> _Counted:
    if deployment is None:
        return _Counted(0, 0, _MINUTE_SECONDS)
    (row,) = _asked(questions, "prompts", deployment=deployment)
    step_seconds = math.ceil(int(row["interval_milliseconds"] or 0) / (_MINUTE_SECONDS * 1000)) * _MINUTE_SECONDS
    return _Counted(int(row["tokens"] or 0), int(row["requests"] or 0), max(_MINUTE_SECONDS, step_seconds))


def _mean_prompt(requests: Requests | None, counted: _Counted) -> int | None:
    """Of the requests of a file, else as the deployment's engines counted it. Bills count tokens, not requests."""
    if requests is not None:
        return max(1, round(sum(prompt for prompt, _ in requests.rows) / len(requests.rows)))
    return max(1, round(counted.tokens / counted.requests)) if counted.requests else None


def _spread(
    questions: Questions,
    project: Project,
    deployment: str | None,
    requests: Requests | None,
    now: datetime,
    environment: Mapping[str, str],
) -> _Measured:
    if requests is not None:
        skipped = f" ({requests.skipped_count:,} rows without both skipped)" if requests.skipped_count else ""
        return _Measured(
            spread=FromRows(rows=requests.rows),
            own=(f"lengths drawn from {len(requests.rows):,} requests of the file{skipped}",),
        )
    if deployment is None:
        return _Measured(assumed=("every request as long as the mean: how they differ, nobody has counted",))
    rows = _asked(questions, "engines", deployment=deployment)
    found = spool_lengths(project.landing, {Engine(**row) for row in rows})
    not_asked: tuple[str, ...] = ()
    if found is None:
        found, not_asked = _prometheus_spread(questions, project, deployment, now, environment)
    if found is None:
        said = f" ({'; '.join(not_asked)})" if not_asked else ""
        return _Measured(assumed=(f"every request as long as the mean: how they differ, no engine has counted{said}",))
    return _Measured(
        spread=found,
        own=(f"lengths drawn from what its engines counted of {found.request_count:,} requests",),
        assumed=("long prompts have no longer answers",),
    )


def _prometheus_spread(
    questions: Questions, project: Project, deployment: str, now: datetime, environment: Mapping[str, str]
) -> tuple[FromHistograms | None, tuple[str, ...]]:
    """What the servers say that scraped these engines; and why one of them could not be asked."""
    rows = _asked(questions, "scraped_instances", deployment=deployment)
    if not rows:
        return None, ()
    names = sorted({row["model_name"] for row in rows})
    instances = sorted({text for row in rows if (text := json.loads(row["agent_start_id"]).get("instance"))})
    found: list[Pair] = []
    refused: list[str] = []
    for configured in (one for one in project.config.sources if one.source == PROMETHEUS):
        context = context_for_probe(project, configured, now=now, environment=environment)
        try:
            pair = request_lengths(context, model_names=names, instances=instances)
        except (BreakevenError, QuarantineError) as error:
            refused.append(f"{PROMETHEUS} of {configured.account} not asked: {error}")
            continue
        found.extend([] if pair is None else [pair])
    # Two servers that scrape one engine say the same requests twice.
    return together(found[:1]), tuple(refused)


def _curve(
    questions: Questions,
    deployment: str | None,
    requests: Requests | None,
    step_seconds: int,
    trial_seconds: float,
    own: list[str],
    assumed: list[str],
) -> Curve | None:
    """As far as a trial lasts longer than a step of it. Says in `own` or `assumed` what came of it."""
    by_step: Mapping[int, float] = {}
    if requests is not None:
        step_seconds = _MINUTE_SECONDS
        by_step = _by_minute(requests.at)
    elif deployment is not None:
        rows = _asked(questions, "requests_by_step", deployment=deployment, step_ms=step_seconds * 1000)
        by_step = {int(row["step"]): float(row["requests"]) for row in rows}
    steps = math.ceil(trial_seconds / step_seconds)
    if not any(by_step.values()):
        assumed.append("requests independent of each other at a constant rate (Poisson)")
        return None
    if steps == 1:
        assumed.append(
            f"a constant rate (Poisson): a trial lasts {trial_seconds:.0f} s, a step of its own curve {step_seconds} s"
        )
        return None
    curve = curve_of(by_step, step_seconds=step_seconds, steps=steps)
    if curve is None:
        assumed.append(f"a constant rate (Poisson): nobody watched {steps} steps of {step_seconds} s in a row")
        return None
    began = datetime.fromtimestamp(curve.begins_at, UTC)
    own.append(f"the rate of its busiest {steps * step_seconds} s, from {began:%Y-%m-%d %H:%M} UTC")
    assumed.append(f"within {step_seconds} s requests independent of each other (Poisson)")
    return curve


def _by_minute(at: Sequence[float]) -> dict[int, float]:
    """Requests of each minute from the first whole one to the last."""
    if not at:
        return {}
    counts = Counter(int(moment // _MINUTE_SECONDS) for moment in at)
    first, last = math.ceil(min(at) / _MINUTE_SECONDS), int(max(at) // _MINUTE_SECONDS)
    return {number: float(counts[number]) for number in range(first, last)}


def _busiest(questions: Questions, workload: str, lengths: Lengths) -> BusiestHour | None:
    """None where its tokens are known by the day only."""
    rows = _asked(questions, "busiest_hour", workload=workload)
    if not rows or not rows[0]["tokens"]:
        return None
    per_second = int(rows[0]["tokens"]) / 3600
    return BusiestHour(
        begins_at=rows[0]["usage_hour_at"],
        tokens_per_second=per_second,
        requests_per_second=per_second / lengths.tokens,
    )
