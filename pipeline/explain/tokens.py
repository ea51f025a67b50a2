"""`explain tokens`: what a deployment served on a day, from its engines' counters, scrape by scrape."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pipeline.explain.evidence import Evidence, NothingToExplainError, Record
from pipeline.explain.explanation import Equality, Explanation, Rows
from pipeline.explain.landed import object_rows, traced_rows
from pipeline.explain.near import nearest
from pipeline.formats.engine_table import ENGINE_METRICS

_CLASSES = ("input_uncached", "input_cache_read", "output")
_PROCESS = ("host", "target", "replica_id", "model_name", "engine_rank", "process_started_at")
# What an agent and a Prometheus both know a process by, each under its own names of host, target and replica.
_START = ("model_name", "engine_rank", "process_started_at")
# A count may begin at the last scrape of a process up to this many days back, as in int_engine_intervals.
_LOOKBACK_DAYS = 8
_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class _Increment:
    """One interval beside the landed scrapes at its ends, and the day's part of each class."""

    interval: Record
    scrape: Record
    before: Record | None
    of_day: Mapping[str, int]

    @property
    def stated(self) -> tuple[int, int] | None:
        """Prompt and generation tokens between the landed readings; None when nobody knows where the count began."""
        baseline = self.interval["baseline"]
        if baseline == "unknown":
            return None
        begin = self.before if baseline == "previous_scrape" else None
        prompt = self.scrape["prompt_tokens"] - (begin["prompt_tokens"] if begin else 0)
        generated = self.scrape["generation_tokens"] - (begin["generation_tokens"] if begin else 0)
        return prompt, generated

    @property
    def booked(self) -> tuple[int, int]:
        return (
            (self.interval["input_uncached_tokens"] or 0) + (self.interval["input_cache_read_tokens"] or 0),
            self.interval["output_tokens"] or 0,
        )


def explain_tokens(evidence: Evidence, *, deployment: str, usage_date: date) -> Explanation:
    """A deployment's tokens of a UTC day: per engine process the first and last reading, resets and what is untimed."""
    served = evidence.ask("served_tokens", deployment=deployment, usage_date=usage_date)
    if not served:
        raise _nothing(evidence, deployment, usage_date)
    days = {usage_date - timedelta(days=back) for back in range(-1, _LOOKBACK_DAYS + 1)}
    evidence.trace("landed_nvml_spool__engine_scrapes", days)
    evidence.trace_model("stg_prometheus__engine_scrapes", days)
    intervals = evidence.ask("engine_intervals", deployment=deployment, usage_date=usage_date)
    scrapes = evidence.ask("engine_scrapes", deployment=deployment, usage_date=usage_date)
    increments = _increments(intervals, scrapes, usage_date)
    todays = [found for found in increments if found.interval["usage_date"] == usage_date]
    processes = _processes(todays)
    ends = [row for held in processes.values() for row in _ends(held)]
    return Explanation(
        title=f"Tokens served by {deployment} on {usage_date} UTC",
        snapshot_id=evidence.snapshot.snapshot_id,
        formula=_FORMULA,
        figures=(Rows.of("The figure: fct_self_host_tokens_daily", served),),
        inputs=(
            Rows.of(
                "Counters by engine process, readings of the day", [_process_row(held) for held in processes.values()]
            ),
            Rows.of("Resets, beginnings and gaps", [_event(found) for found in todays if _is_event(found)]),
            Rows.of("Midnight", list(_midnight(increments, usage_date))),
        ),
        objects=(
            object_rows(evidence, "Objects", [found.scrape for found in todays]),
            traced_rows(evidence, "First and last reading of each process", ends, ("host", "target", "scraped_at")),
        ),
        equalities=tuple(_equalities(increments, todays, served)),
        outside_check=tuple(_outside(processes.values())),
    )


_FORMULA = (
    "tokens = increments of the engine's own counters between two scrapes of one process; a new process counts from 0 "
    "when it began while watched, else its first reading is a baseline; a counter that fell counts from 0 again. A "
    "process that says when it began never counts backwards: a reading below an earlier one is passed over.",
    "prompt = vllm:prompt_tokens_total; input_cache_read = vllm:prompt_tokens_cached_total; input_uncached = prompt - "
    "input_cache_read; output = vllm:generation_tokens_total; of other engines what `breakeven agent engines` "
    "lists.",
    "Where one engine computes prompts and another generates, the one's prompts and the other's answers count. While "
    "two processes answer behind one address in turn, nothing does.",
    "An increment that crosses the full hour is split by milliseconds, so one that crosses midnight belongs to two "
    "days. An untimed one (no scrape for longer than three intervals) is booked whole to the scrape that found it.",
)


def _increments(intervals: Sequence[Record], scrapes: Sequence[Record], usage_date: date) -> list[_Increment]:
    named = ("agent_start_id", "sequence_number", "model_name", "engine_rank")
    by_name = {tuple(row[name] for name in named): row for row in scrapes}
    by_instant: dict[tuple[Any, ...], Record] = {}
    by_start: dict[tuple[Any, ...], Record] = {}
    for row in scrapes:
        if row["scrape_error"] is None and row["prompt_tokens"] is not None and row["generation_tokens"] is not None:
            by_instant.setdefault((*(row[name] for name in _PROCESS), row["scraped_at"]), row)
            if row["process_started_at"] is not None:
                by_start.setdefault((*(row[name] for name in _START), row["scraped_at"]), row)
    return [
        _Increment(
            interval=row,
            scrape=by_name[tuple(row[name] for name in named)],
            before=by_instant.get((*(row[name] for name in _PROCESS), row["counted_from_at"]))
            or by_start.get((*(row[name] for name in _START), row["counted_from_at"])),
            of_day={name: _of_day(row, name, usage_date) for name in _CLASSES},
        )
        for row in intervals
    ]


def _of_day(interval: Record, token_class: str, usage_date: date) -> int:
    """The part of an increment on the day: split at the full hour by largest remainder, ties to the earlier hour."""
    tokens: int | None = interval[f"{token_class}_tokens"]
    if tokens is None or interval["baseline"] == "unknown" or not _counts(interval, token_class):
        return 0
    start, end = _milliseconds(interval["spread_from_at"]), _milliseconds(interval["spread_to_at"])
    edge = (start // _HOUR_MS + 1) * _HOUR_MS
    last = 0
    if end > edge:
        last, remainder = divmod(tokens * (end - edge), end - start)
        last += 2 * remainder > end - start
    first_is_of_day, last_is_of_day = (_date(moment) == usage_date for moment in (start, edge))
    return (tokens - last) * first_is_of_day + last * last_is_of_day


def _counts(interval: Record, token_class: str) -> bool:
    """Whether its engine's count of the class is the deployment's: of a prompt that another computed it is not."""
    return bool(interval["counts_outputs" if token_class == "output" else "counts_prompts"])


def _date(milliseconds: int) -> date:
    return date(1970, 1, 1) + timedelta(days=milliseconds // 86_400_000)


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)  # noqa: DTZ001 - all instants here are UTC


def _processes(increments: Sequence[_Increment]) -> dict[tuple[Any, ...], list[_Increment]]:
    processes: dict[tuple[Any, ...], list[_Increment]] = defaultdict(list)
    for found in increments:
        processes[tuple(found.interval[name] for name in _PROCESS)].append(found)
    return processes


def _begin(held: Sequence[_Increment]) -> Record | None:
    """The reading that the day's first count begins at; None when it begins at 0 or nobody knows."""
    first = held[0]
    return first.before if first.interval["baseline"] == "previous_scrape" else None


def _ends(held: Sequence[_Increment]) -> list[Record]:
    begin = _begin(held)
    return [row for row in (begin or held[0].scrape, held[-1].scrape) if row is not None]


def _process_row(held: Sequence[_Increment]) -> Record:
    first, last, begin = held[0].interval, held[-1], _begin(held)
    stated = [found.stated for found in held]
    return {
        "host": first["host"],
        "target": first["target"],
        "replica_id": first["replica_id"],
        "engine": last.scrape["engine"],
        "prompt_tokens_are": last.scrape["prompt_counts"],  # delivered or computed, as its engine counts
        "process_started_at": first["process_started_at"],
        "first_reading_at": (begin or held[0].scrape)["scraped_at"],
        "first_prompt_tokens": (begin or held[0].scrape)["prompt_tokens"],
        "first_generation_tokens": (begin or held[0].scrape)["generation_tokens"],
        "counted_from": first["baseline"],
        "last_reading_at": last.scrape["scraped_at"],
        "last_prompt_tokens": last.scrape["prompt_tokens"],
        "last_generation_tokens": last.scrape["generation_tokens"],
        "scrapes": len(held),
        "resets": sum(found.interval["baseline"] in ("counter_fell", "pod_made_anew") for found in held),
        "prompt_tokens": sum(found[0] for found in stated if found is not None),
        "output_tokens": sum(found[1] for found in stated if found is not None),
        "of_which_untimed_tokens": sum(sum(found.booked) for found in held if not found.interval["is_timed"]),
    }


def _is_event(found: _Increment) -> bool:
    return found.interval["baseline"] != "previous_scrape" or not found.interval["is_timed"]


def _event(found: _Increment) -> Record:
    row = found.interval
    return {
        "scraped_at": row["scraped_at"],
        "host": row["host"],
        "target": row["target"],
        "counted_from": row["baseline"],
        "counted_from_at": row["counted_from_at"],
        "is_timed": row["is_timed"],
        "prompt_tokens": found.booked[0] if found.stated is not None else None,
        "output_tokens": found.booked[1] if found.stated is not None else None,
    }


def _midnight(increments: Sequence[_Increment], usage_date: date) -> Iterable[Record]:
    """What an interval that crosses midnight leaves on either side."""
    for found in increments:
        for name in _CLASSES:
            whole = found.interval[f"{name}_tokens"] or 0
            part = found.of_day[name]
            is_own = found.interval["usage_date"] == usage_date
            is_counted = found.interval["baseline"] != "unknown" and _counts(found.interval, name)
            if whole and is_counted and part != (whole if is_own else 0):
                yield {
                    "scraped_at": found.interval["scraped_at"],
                    "target": found.interval["target"],
                    "token_class": name,
                    "tokens_of_the_interval": whole,
                    "tokens_of_this_day": part,
                }


def _equalities(
    increments: Sequence[_Increment], todays: Sequence[_Increment], served: Sequence[Record]
) -> Iterable[Equality]:
    counted = [found for found in increments if found.stated is not None]
    yield Equality(
        f"landed readings, one less the one before, over {len(counted)} intervals = the increments booked",
        sum(sum(found.stated or (0, 0)) for found in counted),
        sum(sum(found.booked) for found in counted),
    )
    yield Equality(
        "intervals whose landed readings differ from what is booked = none",
        sum(found.stated != found.booked for found in counted),
        0,
    )
    for name in _CLASSES:
        said = [row["tokens"] for row in served if row["token_class"] == name]
        if said:
            yield Equality(
                f"{name}: increments of the day, split at midnight = fct_self_host_tokens_daily",
                sum(found.of_day[name] for found in increments),
                sum(said),
            )
    whole = sum(found.of_day[name] for found in todays for name in _CLASSES)
    before = sum(found.of_day[name] for found in increments for name in _CLASSES) - whole
    yield Equality(
        "the day's own intervals + what the evening before reaches into it = all tokens of the day",
        whole + before,
        sum(row["tokens"] for row in served),
    )


def _outside(processes: Iterable[Sequence[_Increment]]) -> Iterable[str]:
    """Raw counters at two instants, exactly: increase() extrapolates and would not tie."""
    yield (
        "In a Prometheus that scrapes the same engines (its `instance` is the target's host and port as it sees it; "
        "its scrapes fall on other instants, so tokens of one scrape interval at either end may differ):"
    )
    for held in processes:
        first, last, begin = held[0].interval, held[-1].scrape, _begin(held)
        labels = f'instance="{_escaped(_instance(first["target"]))}"'
        if last["engine"] in (None, "vllm"):  # of the others not every one names its model, and none a rank
            ranked = f',engine="{_escaped(first["engine_rank"])}"' if first["engine_rank"] else ""
            labels = f'model_name="{_escaped(first["model_name"])}"{ranked},{labels}'
        resets = sum(found.interval["baseline"] in ("counter_fell", "pod_made_anew") for found in held)
        prompt, generation = _series_of(last["engine"])
        for series, name, place in ((prompt, "prompt_tokens", 0), (generation, "generation_tokens", 1)):
            expected = sum(found.stated[place] for found in held if found.stated is not None)
            end = f"{series}{{{labels}}} @ {_milliseconds(last['scraped_at']) / 1000:.3f}"
            begun = (
                "" if begin is None else f" - {series}{{{labels}}} @ {_milliseconds(begin['scraped_at']) / 1000:.3f}"
            )
            why = f" plus what {resets} reset(s) took away" if resets else ""
            if begin is None and first["baseline"] == "unknown":
                why += f", less the {held[0].scrape[name]} of its first reading"
            yield f"on {first['host']}: {end}{begun} = {expected}{why}"


def _series_of(engine: str | None) -> tuple[str, str]:
    """What the engine calls its prompt and its generation tokens; of llama.cpp cache hits are another series."""
    names = {metric.figure: metric.sample_name for metric in ENGINE_METRICS if metric.engine == (engine or "vllm")}
    return names.get("prompt_tokens_delivered") or names["prompt_tokens_computed"], names["generation_tokens"]


def _instance(target: str) -> str:
    return target.split("://", 1)[-1].split("/", 1)[0]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _nothing(evidence: Evidence, deployment: str, usage_date: date) -> NothingToExplainError:
    return nearest(
        evidence,
        mart="fct_self_host_tokens_daily",
        what=f"No tokens of {deployment} on {usage_date}.",
        wanted={"deployment_id": deployment},
    )
