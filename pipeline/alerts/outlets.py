"""Outlets beside Slack: a webhook of one's own (JSON), Microsoft Teams, Discord, and e-mail.

A message goes out in one request that is never repeated here: what becomes of it is said (posted, surely refused,
uncertain), and the outbox decides. Text of data is written so that none of them takes it for markup, a link or a
mention. A webhook's URL is a secret: it comes from the environment, and is in no error, event or log.
"""

import html
import http.client
import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pipeline.alerts.message import Message
from pipeline.alerts.sending import AlertError, Outlet, Picture, Posted, Refused, Uncertain, Unreadable
from pipeline.alerts.text import cut, utf16_units
from pipeline.config.alerts import OutletConfig
from pipeline.config.mail import Mail
from pipeline.config.whole import Config
from pipeline.mail import Letter, MailError, MailServer, UncertainMailError, send, server_of

TIMEOUT_SECONDS = 30
# Discord's (docs.discord.com, Embed limits), and Teams': 28 KB a message, where a character counts as two bytes.
DISCORD_TITLE, DISCORD_FIELD_NAME, DISCORD_FIELD, DISCORD_ALL = 256, 256, 1024, 6000
TEAMS_CHARACTERS = 13_000
_TEAMS_LINE, _LEAST_TEAMS_LINE = 1500, 40
# Of a card: a digest has at most twenty lines and its footer.
_MOST_TEAMS_LINES = 25
_MOST_ANSWER_BYTES = 64 * 1024
_DEFAULT_RETRY_AFTER_SECONDS = 30
_MOST_RETRY_AFTER_SECONDS = 86_400
# What Discord's markdown may take for more than a character.
_DISCORD_MARKDOWN = re.compile(r"([\\*_~`|>#\[\]()<@:\-+])")
_TEAMS_FAILED = re.compile(rb"returned HTTP error ([345][0-9]{2})")
_DISCORD_ID = re.compile(r"[0-9]{1,25}")
# The webhook is there and the message is not (docs.discord.com, JSON error codes); 10015 is a webhook that is gone.
_DISCORD_UNKNOWN_MESSAGE = 10008


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class _Webhook:
    """What every outlet by HTTP is alike in. It posts, and reads no history."""

    kind = "webhook"
    channel: str | None = None
    can_read_history = False
    can_show_pictures = False

    def __init__(self, *, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def post(self, *, message: Message, claim_id: str, channel: str | None = None) -> Posted | Refused | Uncertain:
        answer = self._ask("POST", self._url, self._payload(message, claim_id))
        return answer if isinstance(answer, Refused | Uncertain) else self._posted(answer)

    def update(self, *, message: Message, claim_id: str, channel: str, timestamp: str) -> Posted | Refused | Uncertain:
        return Refused(code="cant_update_message", detail="A webhook cannot edit what it posted.")

    def find(self, *, case_key: str, claim_id: str, channel: str | None, oldest: datetime) -> Unreadable:
        detail = "The other side may or may not have taken the message, and what it took cannot be read."
        return Unreadable(code="no_history", detail=detail, is_passing=False)

    def show(self, *, pictures: Sequence[Picture], channel: str, timestamp: str) -> Refused:
        return Refused(code="no_pictures", detail="A webhook takes no files.")

    def _payload(self, message: Message, claim_id: str) -> Mapping[str, Any]:
        raise NotImplementedError

    def _posted(self, answer: _Answer) -> Posted | Refused | Uncertain:
        return Posted(channel=None, timestamp=None)

    def _ask(self, method: str, url: str, payload: Mapping[str, Any]) -> _Answer | Refused | Uncertain:
        content = json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")
        connection = self._connection()
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            name = type(error).__name__
            detail = f"No connection ({name}): nothing was sent. Check the network and the webhook's variable."
            return Refused(code="no_connection", detail=detail, is_outlet_wide=True)
        try:
            found = _answered(connection, method, url, content)
        except (OSError, http.client.HTTPException) as error:
            name = type(error).__name__
            detail = f"The connection ended before the answer ({name}); the message may have been taken."
            return Uncertain(code="connection_lost", detail=detail)
        finally:
            connection.close()
        return found if 200 <= found.status < 300 else self._refused(found)

    def _refused(self, answer: _Answer) -> Refused | Uncertain:
        return _refusal(answer)

    def _connection(self) -> http.client.HTTPConnection:
        # Of the standard library: urllib3 and requests log the path of a URL, and a webhook's is its secret.
        parts = urlsplit(self._url)
        host, seconds = str(parts.hostname), self._timeout_seconds
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)
        return http.client.HTTPConnection(host, parts.port, timeout=seconds)


def _answered(connection: http.client.HTTPConnection, method: str, url: str, content: bytes) -> _Answer:
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "breakeven"}
    connection.request(method, target, body=content, headers=headers)
    answer = connection.getresponse()
    body = answer.read(_MOST_ANSWER_BYTES)
    return _Answer(answer.status, {name.lower(): said for name, said in answer.getheaders()}, body)


class JsonOutlet(_Webhook):
    """A webhook of one's own. `claim_id` is of this sending, `case_key` of what it is about: copies have both alike."""

    kind = "json_webhook"

    def _payload(self, message: Message, claim_id: str) -> Mapping[str, Any]:
        return {
            "type": "breakeven_case",
            "case_key": message.case_key,
            "claim_id": claim_id,
            "headline": message.headline,
            "lines": [{"label": label, "text": text} for label, text in message.lines],
            "text": message.plain,
        }


class TeamsOutlet(_Webhook):
    """A workflow of Microsoft Teams. Text runs of an adaptive card know no markdown and no mention."""

    kind = "teams_webhook"

    def _payload(self, message: Message, claim_id: str) -> Mapping[str, Any]:
        limit = _TEAMS_LINE
        while True:
            payload = _teams_card(message, limit)
            # As JSON spells it at its longest: whatever is not ASCII escaped.
            if len(json.dumps(payload)) <= TEAMS_CHARACTERS or limit <= _LEAST_TEAMS_LINE:
                return payload
            limit //= 2

    def _posted(self, answer: _Answer) -> Posted | Refused | Uncertain:
        # Connectors answer 200 where Teams took nothing, and say so in the body (learn.microsoft.com, rate limiting).
        said = _TEAMS_FAILED.search(answer.body)
        if said is not None:
            return _refusal(_Answer(int(said[1]), answer.headers, b""))
        return Posted(channel=None, timestamp=None)


def _teams_card(message: Message, limit: int) -> Mapping[str, Any]:
    def block(*runs: Mapping[str, Any], **looks: Any) -> Mapping[str, Any]:
        return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs], **looks}

    body = [block({"text": cut(message.headline, limit), "weight": "Bolder", "size": "Medium"})]
    for label, text in message.lines[:_MOST_TEAMS_LINES]:
        runs = [{"text": f"{label}: ", "weight": "Bolder"}] if label else []
        body.append(block(*runs, {"text": cut(text, limit)}))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


class DiscordOutlet(_Webhook):
    """A webhook of Discord: its answer says the message's id, so that it can be edited."""

    kind = "discord_webhook"

    def post(self, *, message: Message, claim_id: str, channel: str | None = None) -> Posted | Refused | Uncertain:
        answer = self._ask(
            "POST", f"{self._url}{'&' if '?' in self._url else '?'}wait=true", self._payload(message, claim_id)
        )
        return answer if isinstance(answer, Refused | Uncertain) else self._posted(answer)

    def update(self, *, message: Message, claim_id: str, channel: str, timestamp: str) -> Posted | Refused | Uncertain:
        base, _, query = self._url.partition("?")
        url = f"{base}/messages/{timestamp}{f'?{query}' if query else ''}"
        answer = self._ask("PATCH", url, self._payload(message, claim_id))
        if isinstance(answer, Refused | Uncertain):
            return answer
        return Posted(channel=channel, timestamp=timestamp)

    def _refused(self, answer: _Answer) -> Refused | Uncertain:
        if answer.status == 404 and _said_by_discord(answer, "code") == _DISCORD_UNKNOWN_MESSAGE:
            return Refused(code="message_gone", detail="Somebody deleted the post there: it is edited no more.")
        return _refusal(answer)

    def _posted(self, answer: _Answer) -> Posted | Refused | Uncertain:
        found = _said_by_discord(answer, "id")
        if not isinstance(found, str) or not _DISCORD_ID.fullmatch(found):
            return Uncertain(code="unreadable_answer", detail="Discord said ok without saying which message it is.")
        return Posted(channel=self.kind, timestamp=found)

    def _payload(self, message: Message, claim_id: str) -> Mapping[str, Any]:
        left = DISCORD_ALL
        parts = []
        for label, text in message.lines:
            name, value = cut(label or "​", DISCORD_FIELD_NAME), discord_text(text, DISCORD_FIELD)
            length = utf16_units(name) + utf16_units(value)
            if left - length < DISCORD_TITLE + 200:
                parts.append({"name": "…", "value": "The rest: breakeven alerts list", "inline": False})
                break
            left -= length
            parts.append({"name": name, "value": value or "​", "inline": False})
        embed = {"title": discord_text(message.headline, DISCORD_TITLE), "fields": parts[:25]}
        return {"content": "", "embeds": [embed], "allowed_mentions": {"parse": []}}


def _said_by_discord(answer: _Answer, name: str) -> object:
    """A field of what it answers; None where it has none, or the answer is no JSON."""
    try:
        return json.loads(answer.body).get(name)
    except (ValueError, AttributeError):
        return None


def discord_text(text: str, limit: int) -> str:
    """Text that Discord shows as written: no bold, link, emoji, mention; at most `limit` UTF-16 units, none split."""
    escaped = cut(_DISCORD_MARKDOWN.sub(r"\\\1", text), limit)
    if not escaped.endswith("…"):
        return escaped
    # A backslash before it would escape the ellipsis and not what it was meant for.
    shown = escaped[:-1]
    is_split = (len(shown) - len(shown.rstrip("\\"))) % 2 == 1
    return (shown[:-1] if is_split else shown) + "…"


class MailOutlet:
    """A letter a case. Two copies of one have the same Message-ID, by which mail programs show them as one."""

    kind = "email"
    channel: str | None = None
    can_read_history = False
    can_show_pictures = False

    def __init__(
        self,
        *,
        server: MailServer,
        sender: str,
        recipients: Sequence[str],
        now: Callable[[], datetime],
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._server = server
        self._sender = sender
        self._recipients = recipients
        self._now = now
        self._timeout_seconds = timeout_seconds

    def __repr__(self) -> str:
        return f"MailOutlet(to={list(self._recipients)!r})"

    def post(self, *, message: Message, claim_id: str, channel: str | None = None) -> Posted | Refused | Uncertain:
        letter = Letter(
            key=f"case {message.case_key}",
            sender=self._sender,
            recipients=self._recipients,
            subject=message.headline,
            text=message.plain,
            html=as_html(message),
            sent_at=self._now(),
        )
        try:
            refused = send(letter, self._server, timeout_seconds=self._timeout_seconds)
        except UncertainMailError as error:
            return Uncertain(code="connection_lost", detail=str(error))
        except MailError as error:
            return Refused(code="not_mailed", detail=str(error), is_outlet_wide=True)
        if refused:
            # The others have it: it is not sent again for these.
            said = "; ".join(f"{name} ({words})" for name, words in sorted(refused.items()))
            return Posted(channel=None, timestamp=None, detail=f"The server refuses {said}.")
        return Posted(channel=None, timestamp=None)

    def update(self, *, message: Message, claim_id: str, channel: str, timestamp: str) -> Refused:
        return Refused(code="cant_update_message", detail="A letter cannot be edited.")

    def find(self, *, case_key: str, claim_id: str, channel: str | None, oldest: datetime) -> Unreadable:
        return Unreadable(code="no_history", detail="The letter may or may not be delivered.", is_passing=False)

    def show(self, *, pictures: Sequence[Picture], channel: str, timestamp: str) -> Refused:
        return Refused(code="no_pictures", detail="A letter that is out takes no more files.")


def as_html(message: Message) -> str:
    """The message as a letter's HTML: no link, no picture, nothing fetched; text of data is text."""
    lines = "".join(
        f"<p>{f'<b>{html.escape(label)}:</b> ' if label else ''}{html.escape(text)}</p>"
        for label, text in message.lines
    )
    return (
        '<!doctype html><html><body style="font-family:sans-serif;max-width:40em">'
        f"<h2>{html.escape(message.headline)}</h2>{lines}</body></html>"
    )


_KINDS: Mapping[str, type[_Webhook]] = {"webhook": JsonOutlet, "teams": TeamsOutlet, "discord": DiscordOutlet}


def outlet_of(
    said: OutletConfig,
    mail: Mail | None,
    *,
    environment: Mapping[str, str],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Outlet | None:
    """The outlet that config and environment allow; None where its variable is not set. AlertError: it is of no use."""
    if said.kind == "email":
        if mail is None:
            raise AlertError(f"The outlet {said.name} is e-mail, and breakeven.yaml has no `mail`.")
        try:
            server = server_of(mail, environment=environment)
        except MailError as error:
            raise AlertError(str(error)) from None
        return MailOutlet(server=server, sender=mail.sender, recipients=said.to, now=now)
    url = environment.get(said.url_env, "").strip() if said.url_env else ""
    if not url:
        return None
    if not _is_url(url):
        raise AlertError(
            f"The environment variable {said.url_env} does not hold a webhook URL (https://...). Set it anew."
        )
    return _KINDS[said.kind](url=url)


def outlets_set(said: Config, *, environment: Mapping[str, str]) -> list[str]:
    """Names of the outlets beside Slack that are told something; one that is of no use is doctor's to tell."""
    found = []
    for outlet in said.outlets:
        try:
            is_set = outlet_of(outlet, said.mail, environment=environment) is not None
        except AlertError:
            continue
        if is_set:
            found.append(outlet.name)
    return found


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        # A name that no look-up takes, and a password that nobody would send, are refused here too.
        (parts.hostname or "").encode("idna")
        is_web = is_web and parts.username is None
    except ValueError:
        return False
    return is_web and text.isascii() and text.isprintable() and " " not in text


def _refusal(answer: _Answer) -> Refused | Uncertain:
    code = f"http_{answer.status}"
    if answer.status == 429:
        seconds = _retry_after_seconds(answer)
        detail = f"It asks to wait {seconds} s (HTTP 429)."
        return Refused(code="ratelimited", detail=detail, retry_after_seconds=seconds)
    if answer.status >= 500 or answer.status == 408:
        detail = f"The other side failed (HTTP {answer.status}) and may have taken the message."
        return Uncertain(code=code, detail=detail)
    if answer.status in (400, 413, 422):
        detail = f"It refuses this message (HTTP {answer.status})."
        return Refused(code=code, detail=detail)
    moved = " It redirects, which is not followed: name where it goes." if 300 <= answer.status < 400 else ""
    detail = f"It refuses messages (HTTP {answer.status}).{moved} Check the webhook and its environment variable."
    return Refused(code=code, detail=detail, is_outlet_wide=True)


def _retry_after_seconds(answer: _Answer) -> int:
    """From the header, else from Discord's body; rounded up, and bounded."""
    said = answer.headers.get("retry-after") or _said_by_discord(answer, "retry_after")
    try:
        seconds = float(str(said))
    except ValueError:
        return _DEFAULT_RETRY_AFTER_SECONDS
    if not 0 <= seconds <= _MOST_RETRY_AFTER_SECONDS:
        return _DEFAULT_RETRY_AFTER_SECONDS
    return int(seconds) + (seconds > int(seconds))
