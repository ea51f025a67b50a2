"""Who asked for how many tokens when. Integers and a seeded generator only, so every machine makes the same demand."""

import random
from dataclasses import dataclass
from datetime import date, timedelta

from pipeline.demo import company

INTERVALS_PER_DAY = 288  # of five minutes, the engine scrape's cadence

# Thousandths of the mean; the week sums to 7,000 and the day to 24,000.
_SUPPORT_WEEK = (1100, 1120, 1110, 1090, 1040, 780, 760)
_OFFICE_WEEK = (1340, 1360, 1350, 1330, 1260, 180, 180)
_SUPPORT_HOURS = (
    *(350, 300, 280, 280, 300, 400, 600, 900, 1250, 1500, 1650, 1700),
    *(1700, 1700, 1700, 1650, 1600, 1450, 1250, 1050, 850, 650, 500, 390),
)
_OFFICE_HOURS = (
    *(0, 0, 0, 0, 0, 0, 600, 1400, 2400, 2700, 2600, 2300),
    *(1900, 2300, 2500, 2200, 1600, 900, 400, 200, 0, 0, 0, 0),
)

_SUPPORT_FIRST_DAY_TOKENS = 88_000_000
_SUPPORT_DAILY_GROWTH = 1018  # thousandths
_SUPPORT_API_SHARE = 950  # thousandths; the rest is the pilot on chat-llama
_CODING_TOKENS_PER_DAY = 6_000_000
_DEFAULT_TOKENS_PER_DAY = 800_000
_PRIORITY_TOKENS_PER_HOUR = 20_000
_SEARCH_TOKENS_PER_DAY = 12_000_000
_BATCH_TOKENS_PER_REPLICA_DAY = 50_000_000
_TRIAGE_TOKENS_PER_REPLICA_DAY = 20_000_000

# Thousandths of the traffic by token class.
_SUPPORT_MIX = {"input_uncached": 400, "input_cache_read": 400, "input_cache_write_5m": 40, "output": 160}
_CODING_MIX = {"input_uncached": 300, "input_cache_read": 550, "input_cache_write_5m": 80, "output": 70}
_DEFAULT_MIX = {"input_uncached": 800, "input_cache_read": 0, "input_cache_write_5m": 0, "output": 200}


@dataclass(frozen=True)
class UsageRow:
    """One row of the hourly API usage: tokens by class, disjoint."""

    usage_date: date
    hour: int
    workload: str | None
    workspace_id: str | None
    api_key_id: str | None
    model: str
    service_tier: str
    tokens: dict[str, int]
    web_searches: int


@dataclass(frozen=True)
class Served:
    """What one replica served in five minutes. `prompt` includes `cached`."""

    prompt: int
    cached: int
    generated: int
    requests: int


NOTHING = Served(prompt=0, cached=0, generated=0, requests=0)


def support_level(day: date) -> int:
    """Tokens of support-chat on an average weekday-weighted day, both lanes together."""
    level = _SUPPORT_FIRST_DAY_TOKENS
    for _ in range((day - company.FIRST_DAY).days):
        level = level * _SUPPORT_DAILY_GROWTH // 1000
    return level


def api_usage() -> list[UsageRow]:
    """Every row of demo-org's usage, in time order."""
    rng = random.Random(company.SEED)
    rows: list[UsageRow] = []
    for day in company.DAYS:
        support = support_level(day) * _SUPPORT_WEEK[day.weekday()] // 1000 * _SUPPORT_API_SHARE // 1000
        for hour in range(24):
            rows.extend(_hour_of_support(rng, day=day, hour=hour, day_tokens=support))
            rows.extend(_hour_of_the_rest(rng, day=day, hour=hour))
    return rows


def _hour_of_support(rng: random.Random, *, day: date, hour: int, day_tokens: int) -> list[UsageRow]:
    hour_tokens = day_tokens * _SUPPORT_HOURS[hour] // 24_000
    shares = {company.SUPPORT_WEB_KEY: 700, company.SUPPORT_MOBILE_KEY: 300}
    return [
        UsageRow(
            usage_date=day,
            hour=hour,
            workload="support-chat",
            workspace_id=company.SUPPORT_WORKSPACE,
            api_key_id=key,
            model=company.HAIKU,
            service_tier="standard",
            tokens=_by_class(rng, hour_tokens * share // 1000, _SUPPORT_MIX),
            web_searches=0,
        )
        for key, share in shares.items()
    ]


def _hour_of_the_rest(rng: random.Random, *, day: date, hour: int) -> list[UsageRow]:
    shape = _OFFICE_HOURS[hour] * _OFFICE_WEEK[day.weekday()]
    if shape == 0:
        return []
    rows = [
        UsageRow(
            usage_date=day,
            hour=hour,
            workload="coding-assistant",
            workspace_id=company.CODING_WORKSPACE,
            api_key_id=company.CODING_KEY,
            model=company.SONNET,
            service_tier="standard",
            tokens=_by_class(rng, _CODING_TOKENS_PER_DAY * shape // 24_000_000, _CODING_MIX),
            web_searches=rng.randrange(0, 8),
        ),
        UsageRow(
            usage_date=day,
            hour=hour,
            workload=None,
            workspace_id=None,
            api_key_id=None,
            model=company.SONNET,
            service_tier="standard",
            tokens=_by_class(rng, _DEFAULT_TOKENS_PER_DAY * shape // 24_000_000, _DEFAULT_MIX),
            web_searches=0,
        ),
    ]
    if day.weekday() < 5 and 9 <= hour < 17:
        rows.append(
            UsageRow(
                usage_date=day,
                hour=hour,
                workload=None,
                workspace_id=None,
                api_key_id=company.PRIORITY_KEY,
                model=company.SONNET,
                service_tier="priority",
                tokens=_by_class(rng, _PRIORITY_TOKENS_PER_HOUR, _DEFAULT_MIX),
                web_searches=0,
            )
        )
    return rows


def _by_class(rng: random.Random, tokens: int, mix: dict[str, int]) -> dict[str, int]:
    """Tokens split by the mix, each class with up to 5% of noise of its own."""
    return {name: tokens * share // 1000 * rng.randrange(950, 1051) // 1000 for name, share in mix.items()}


def served_by(replica: company.Replica, *, day: date) -> list[Served]:
    """What a replica would serve on a day if nothing went wrong: one entry per five minutes."""
    number = int(replica.replica_id.rsplit("-", 1)[1])
    rng = random.Random(f"{company.SEED}/{replica.replica_id}/{day.isoformat()}")
    if replica.deployment == "chat-llama":
        return _pilot_day(rng, day=day, number=number)
    if replica.deployment == "search-qwen":
        return _search_day(rng, day=day, replica=replica)
    if replica.deployment == "triage-llama":
        return _triage_day(rng, day=day)
    return _batch_day(rng, number=number)


def _pilot_day(rng: random.Random, *, day: date, number: int) -> list[Served]:
    """Working hours only: replica 1 takes most of it, replica 2 the middle of the day, and every night is idle."""
    is_weekend = day.weekday() >= 5
    pilot = support_level(day) * _SUPPORT_WEEK[day.weekday()] // 1000 * (1000 - _SUPPORT_API_SHARE) // 1000
    share, first_hour, last_hour, busy_percent = (800, 7, 19, 90) if number == 1 else (200, 10, 16, 60)
    if is_weekend:
        share, first_hour, last_hour, busy_percent = (1000, 8, 18, 70) if number == 1 else (0, 0, 0, 0)
    intervals = (last_hour - first_hour) * 12 * busy_percent // 100
    return [
        _served(rng, pilot * share // 1000 // intervals, cached_share=450, output_share=160, request_tokens=2_400)
        if first_hour * 12 <= interval < last_hour * 12 and rng.randrange(100) < busy_percent
        else NOTHING
        for interval in range(INTERVALS_PER_DAY)
    ]


def _search_day(rng: random.Random, *, day: date, replica: company.Replica) -> list[Served]:
    """Office hours, split over the replicas that run that day."""
    outage = next(outage for outage in company.OUTAGES if outage.replica_id == "search-qwen-2")
    running = 1 if outage.from_at.date() <= day < outage.process_started_at.date() else 2
    day_tokens = _SEARCH_TOKENS_PER_DAY * _OFFICE_WEEK[day.weekday()] // 1000 // running
    return [
        _served(
            rng,
            day_tokens * _OFFICE_HOURS[interval // 12] // 24_000 // 12 * 100 // 85,
            cached_share=350,
            output_share=150,
            request_tokens=3_000,
        )
        if _OFFICE_HOURS[interval // 12] and rng.randrange(100) < 85
        else NOTHING
        for interval in range(INTERVALS_PER_DAY)
    ]


def _triage_day(rng: random.Random, *, day: date) -> list[Served]:
    """Tickets in office hours, answered in a few words. Busy or idle for a quarter of an hour: between two scrapes."""
    day_tokens = _TRIAGE_TOKENS_PER_REPLICA_DAY * _OFFICE_WEEK[day.weekday()] // 1000
    is_busy = [rng.randrange(100) < 80 for _ in range(INTERVALS_PER_DAY // 3)]
    return [
        _served(
            rng,
            day_tokens * _OFFICE_HOURS[interval // 12] // 24_000 // 12 * 100 // 80,
            cached_share=500,
            output_share=80,
            request_tokens=1_400,
        )
        if _OFFICE_HOURS[interval // 12] and is_busy[interval // 3]
        else NOTHING
        for interval in range(INTERVALS_PER_DAY)
    ]


def _batch_day(rng: random.Random, *, number: int) -> list[Served]:
    """A night job: 18:00 to 06:00 UTC. The queue of the later replicas runs dry a little earlier."""
    last_morning_interval = 6 * 12 - 4 * (number - 1) - rng.randrange(0, 6)
    return [
        _served(rng, _BATCH_TOKENS_PER_REPLICA_DAY // 144, cached_share=0, output_share=200, request_tokens=9_000)
        if interval < last_morning_interval or interval >= 18 * 12
        else NOTHING
        for interval in range(INTERVALS_PER_DAY)
    ]


def _served(rng: random.Random, tokens: int, *, cached_share: int, output_share: int, request_tokens: int) -> Served:
    """About `tokens` in five minutes (up to 15% of noise); shares in thousandths, cached of the prompt."""
    noisy = tokens * rng.randrange(850, 1151) // 1000
    generated = noisy * output_share // 1000
    prompt = noisy - generated
    return Served(
        prompt=prompt,
        cached=prompt * cached_share // 1000,
        generated=generated,
        requests=max(1, noisy // request_tokens),
    )


def next_day(day: date) -> date:
    return day + timedelta(days=1)


def previous_day(day: date) -> date:
    return day - timedelta(days=1)
