"""Whether a message would reach Slack: variables set, token taken, nothing left unsaid."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from pipeline.alerts.outlets import outlet_of
from pipeline.alerts.problems import open_problems
from pipeline.alerts.sending import AlertError
from pipeline.alerts.shadow import speaking
from pipeline.alerts.slack import TokenTried, outlet_from_config, try_token
from pipeline.alerts.told import kept_quiet
from pipeline.config.alerts import Slack
from pipeline.config.whole import Config
from pipeline.doctor.findings import Cost, Finding
from pipeline.doctor.side_by_side import Asked, NoAnswerError
from pipeline.landing.landing import Contents
from pipeline.reports.figures import counted

AREA = "slack"
# A weekend is two days that say nothing of the others.
_DAYS_KEPT_QUIET = 3
_SCOPES_OF_THE_APP = "Install infra/slack/manifest.json again and set the new token"


def ask_slack(slack: Slack, *, environment: Mapping[str, str], seconds: float | None) -> Asked[TokenTried] | None:
    """Begin to ask Slack about the token; None where there is none, or nobody may ask."""
    token = _token_of(slack, environment)
    if not token or seconds is None or not _is_usable(slack, environment):
        return None
    return Asked(partial(try_token, slack, token=token, timeout_seconds=seconds))


def _token_of(slack: Slack, environment: Mapping[str, str]) -> str:
    return environment.get(slack.token_env, "").strip() if slack.token_env and slack.channel else ""


def _is_usable(slack: Slack, environment: Mapping[str, str]) -> bool:
    try:
        return outlet_from_config(slack, environment=environment) is not None
    except AlertError:
        return False


def slack_findings(
    slack: Slack,
    asked: Asked[TokenTried] | None,
    contents: Contents | None,
    *,
    environment: Mapping[str, str],
    until: float,
    now: datetime,
) -> list[Finding]:
    """What is set, what Slack says of it, messages that may not have arrived, and those that no run may post."""
    found = _outlet(slack, asked, environment=environment, until=until)
    return [
        *found,
        *_shadow(slack, contents, environment=environment),
        *_unsaid(contents),
        *_always_quiet(slack, contents, now=now),
    ]


def outlet_findings(config: Config, *, environment: Mapping[str, str]) -> list[Finding]:
    """Of each outlet beside Slack, whether what it needs is set. None can be tried without a message."""
    found = []
    for outlet in config.outlets:
        needs = f"{outlet.kind} {outlet.name}"
        try:
            is_set = outlet_of(outlet, config.mail, environment=environment) is not None
        except AlertError as error:
            found.append(_of_outlet(needs, "fix", str(error), fix="Set that variable anew", cost=Cost.NOBODY_IS_TOLD))
            continue
        if is_set:
            found.append(_of_outlet(needs, "ok", "is set; it cannot be tried without a message"))
        else:
            said, fix = f"{outlet.url_env} is not set: it is told nothing", f"Set {outlet.url_env}, or leave it out"
            found.append(_of_outlet(needs, "fix", said, fix=fix, cost=Cost.NOBODY_IS_TOLD))
    return found


def _of_outlet(subject: str, state: Any, said: str, **more: Any) -> Finding:
    return Finding(AREA, subject, "outlet", state, said, **more)


def _always_quiet(slack: Slack, contents: Contents | None, *, now: datetime) -> list[Finding]:
    """Cases that runs of several days were to post, each of which was in quiet hours."""
    if contents is None or slack.quiet_hours is None:
        return []
    kept = [one for one in kept_quiet(contents.events, today=now.date()) if one.days_count >= _DAYS_KEPT_QUIET]
    if not kept:
        return []
    longest = max(kept, key=lambda one: one.days_count)
    said = (
        f"{counted(len(kept), 'message')} not posted: every run of {longest.days_count} days to {longest.last_day} was "
        f"in quiet hours; {longest.case_key} waits since {longest.first_day}"
    )
    fix = "Run after slack.quiet_hours, or shorten them: what waits is posted by a run outside of them"
    return [_found("fix", said, fix=fix, cost=Cost.NOBODY_IS_TOLD, check="quiet hours")]


def _shadow(slack: Slack, contents: Contents | None, *, environment: Mapping[str, str]) -> list[Finding]:
    """Whether what could be posted is."""
    if contents is None or not _is_usable(slack, environment):
        return []
    now = speaking(contents.events)
    if now.is_enabled:
        return []
    fix = "See what it would have been told, and let it: breakeven alerts enable"
    return [_found("note", f"messages are kept and printed, {now.in_words}", check="enabled", fix=fix)]


def _outlet(
    slack: Slack, asked: Asked[TokenTried] | None, *, environment: Mapping[str, str], until: float
) -> list[Finding]:
    try:
        outlet = outlet_from_config(slack, environment=environment)
    except AlertError as error:
        return [_found("fix", str(error), fix="Set that variable anew", cost=Cost.NOBODY_IS_TOLD)]
    if outlet is None:
        return [_nothing_set(slack)]
    if outlet.kind == "slack_webhook":
        said = f"a webhook is set in {slack.webhook_env}; it cannot be tried without posting"
        return [_found("ok", said)]
    if asked is None:
        return [_found("skipped", f"a token is set in {slack.token_env}; not asked")]
    try:
        tested = asked.answer(until=until)
    except NoAnswerError:
        return [
            _found(
                "fix", "Slack gave no answer in time", fix="Try again with a longer --timeout", cost=Cost.NOBODY_IS_TOLD
            )
        ]
    except Exception as error:
        # Whatever a client makes of a hostile answer stops nothing else. Its text may hold anything, a token too.
        said = f"asking Slack failed ({type(error).__name__})"
        return [_found("fix", said, fix="Check slack.api_url", cost=Cost.NOBODY_IS_TOLD)]
    return _of_test(slack, tested)


def _nothing_set(slack: Slack) -> Finding:
    wanted = [name for name in (slack.token_env, slack.webhook_env) if name]
    if slack.webhook_env or (slack.channel and slack.token_env):
        said = f"{' and '.join(wanted)} not set: messages are kept and printed, not sent"
        fix = f"Set {wanted[-1]}, or take `channel` and `webhook_env` out of `slack`"
        return _found("fix", said, fix=fix, cost=Cost.NOBODY_IS_TOLD)
    return _found("ok", "no channel is configured: messages are kept and printed, not sent")


def _of_test(slack: Slack, tested: TokenTried) -> list[Finding]:
    said, _, fix = tested.detail.partition(". ")
    if not tested.is_taken:
        return [_found("fix", said, fix=fix, cost=Cost.NOBODY_IS_TOLD)]
    missing = tested.missing_scopes or ()
    if "chat:write" in missing:
        said = f"{said}, which lacks chat:write: it may not post"
        return [_found("fix", said, fix=_SCOPES_OF_THE_APP, cost=Cost.NOBODY_IS_TOLD)]
    if missing:
        without = {
            "channels:history": "a message that may not have arrived cannot be looked up",
            "files:write": "messages come without their curves",
        }
        said = f"{said}, which lacks {', '.join(missing)}: {', and '.join(without[scope] for scope in missing)}"
        return [_found("note", said, fix=_SCOPES_OF_THE_APP)]
    return [_found("ok", f"{said} in {slack.token_env}, for {slack.channel}")]


def _unsaid(contents: Contents | None) -> list[Finding]:
    problems = open_problems(contents.events) if contents is not None else []
    if not problems:
        return []
    first = problems[0]
    said = f"{counted(len(problems), 'message')} may not have arrived: {first.in_words}"
    fix = "infra/RUNBOOK.md, A message may not have arrived"
    return [_found("fix", said, fix=fix, cost=Cost.NOBODY_IS_TOLD, check="messages")]


def _found(state: Any, said: str, check: str = "token", **more: Any) -> Finding:
    return Finding(AREA, "Slack", check, state, said, **more)
