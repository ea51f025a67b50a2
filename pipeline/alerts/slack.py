"""Slack as an outlet: bot token (post, edit, read history) or webhook (post only). The only import of slack_sdk.

The SDK retries a dropped connection by default, which posts twice: `retry_handlers=[]`. No text of an exception and
no URL leaves this module: codes and our own sentences do, so that neither token nor webhook URL can.
"""

import http.client
import json
import logging
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.socket_mode.builtin import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.webhook import WebhookClient

from pipeline.alerts.buttons import WRONG, FormAsked, Pressed, answered, form_asked, pressed
from pipeline.alerts.message import EVENT_TYPE, HEADER_LIMIT, Message
from pipeline.alerts.sending import AlertError, Found, NotFound, Outlet, Picture, Posted, Refused, Uncertain, Unreadable
from pipeline.alerts.text import inert
from pipeline.config.alerts import Slack

TIMEOUT_SECONDS = 30
# After three seconds Slack opens no form for a press.
_FORM_SECONDS = 3
HISTORY_PAGES = 20
HISTORY_PAGE_MESSAGES = 200
CHANNEL_PAGES = 20
CHANNEL_PAGE_CHANNELS = 200

# Slack says of these that the call may have succeeded in part (docs.slack.dev, chat.postMessage, errors).
_MAY_HAVE_PASSED = frozenset({"internal_error", "fatal_error", "service_unavailable"})
_NEXT_STEPS: Mapping[str, str] = {
    "invalid_auth": "Slack does not know the token. Check the bot token's environment variable.",
    "not_authed": "Slack saw no token. Check the bot token's environment variable.",
    "token_revoked": "The token was revoked. Reinstall the app and set the new bot token.",
    "token_expired": "The token has expired. Set a new bot token.",
    "account_inactive": "The app was removed from the workspace. Reinstall it and set the new bot token.",
    "missing_scope": "The token lacks a scope. It needs chat:write, and channels:history to look up what was sent.",
    "channel_not_found": "Slack does not know the channel. Check slack.channel and invite the app to it.",
    "not_in_channel": "The app is not in the channel. Invite it, or change slack.channel.",
    "is_archived": "The channel is archived. Unarchive it, or change slack.channel.",
    "channel_is_archived": "The webhook's channel is archived. Unarchive it, or make a new webhook.",
    "restricted_action": "A workspace rule forbids posting there. Ask an administrator, or change slack.channel.",
    "no_service": "The webhook was removed or disabled. Make a new one and set it.",
    "no_team": "The webhook's workspace is gone. Make a new one and set it.",
    "ratelimited": "Slack asks to wait.",
    "rate_limited": "Slack asks to wait.",
    "message_not_found": "The post was deleted in the channel.",
    "cant_update_message": "The post belongs to another app.",
    "edit_window_closed": "The workspace no longer allows editing the post.",
}  # fmt: skip
_ONE_MESSAGE_ONLY = frozenset({
    "invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "no_text", "invalid_payload",
    "metadata_too_large", "invalid_metadata_format", "invalid_metadata_schema", "message_not_found",
    "cant_update_message", "edit_window_closed", "duplicate_message_not_found",
})  # fmt: skip
_ONE_CHANNEL_ONLY = frozenset({
    "channel_not_found", "not_in_channel", "is_archived", "channel_is_archived", "restricted_action",
})  # fmt: skip
_RATE_LIMITED = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
_PASSING = _RATE_LIMITED | _MAY_HAVE_PASSED
_CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{6,}")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,59}")
_DEFAULT_RETRY_AFTER_SECONDS = 30
# To post, to look up in a public channel what was posted, and to put curves into its thread.
_SCOPES = ("chat:write", "channels:history", "files:write")
# What stands in for a picture is read out: no more than a paragraph of it.
_ALT_LIMIT = 1000
_NO_CONNECTION = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)
_NETWORK = (OSError, http.client.HTTPException, SlackClientError, json.JSONDecodeError, UnicodeDecodeError)


def outlet_from_config(slack: Slack, *, environment: Mapping[str, str]) -> Outlet | None:
    """The outlet that config and environment allow: bot token before webhook, None when neither is there."""
    token = environment.get(slack.token_env, "").strip() if slack.token_env else ""
    if token and slack.channel:
        if not token.isascii() or not token.isprintable() or " " in token:
            raise AlertError(f"The environment variable {slack.token_env} holds more than a Slack token. Set it anew.")
        return SlackOutlet(token=token, channel=slack.channel, api_url=slack.api_url)
    url = environment.get(slack.webhook_env, "").strip() if slack.webhook_env else ""
    if url:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or not url.isprintable():
            raise AlertError(
                f"The environment variable {slack.webhook_env} does not hold a webhook URL (https://...). Set it anew."
            )
        return WebhookOutlet(url=url)
    return None


def app_token_of(slack: Slack, *, environment: Mapping[str, str]) -> str | None:
    """The app token by which buttons are heard, where one is set beside a bot token and a channel."""
    token = environment.get(slack.app_token_env, "").strip() if slack.app_token_env else ""
    bot = environment.get(slack.token_env, "").strip() if slack.token_env else ""
    return token if token and bot and slack.channel else None


def listen(
    slack: Slack,
    *,
    app_token: str,
    bot_token: str,
    handle: Callable[[Pressed], None],
    is_over: Callable[[float], bool],
) -> None:
    """Hear buttons by socket mode, no port open, until `is_over`, which waits for so many seconds, says so.

    A press is confirmed once it is handled: who pressed sees where it was not. Said twice it says nothing
    more. What asks for a reason opens a form, with the bot token; where Slack opens none it is said without one.
    AlertError where Slack lets nobody listen.
    """
    web = WebClient(
        base_url=slack.api_url or WebClient.BASE_URL,
        timeout=TIMEOUT_SECONDS,
        retry_handlers=[],
        logger=_silent_logger(),
    )
    client = SocketModeClient(app_token=app_token, web_client=web, logger=_silent_logger(), concurrency=1)
    forms = WebClient(
        token=bot_token,
        base_url=slack.api_url or WebClient.BASE_URL,
        timeout=_FORM_SECONDS,
        retry_handlers=[],
        logger=_silent_logger(),
    )

    def heard(source: BaseSocketModeClient, request: SocketModeRequest) -> None:
        if request.type == "interactive":
            for one in _said(request.payload, forms):
                handle(one)
        source.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    client.socket_mode_request_listeners.append(heard)
    try:
        client.connect()
        while not is_over(1.0):
            pass
    except SlackApiError as error:
        code = _code_of(error)
        step = _NEXT_STEPS.get(code, "See docs.slack.dev for that code.")
        raise AlertError(f"Slack lets nobody listen ({code}). {step}") from None
    except _NETWORK as error:
        raise AlertError(
            f"No connection to Slack ({type(error).__name__}). Check the network and slack.api_url."
        ) from None
    finally:
        client.close()


def _said(payload: Mapping[str, Any], forms: WebClient) -> list[Pressed]:
    """What a payload says of cases, once whatever it asks to be opened is open."""
    said = answered(payload)
    if said is not None:
        return [said]
    asked = form_asked(payload)
    is_open = asked is not None and _is_opened(asked, forms)
    return [one for one in pressed(payload) if not (is_open and one.verb == WRONG)]


def _is_opened(asked: FormAsked, forms: WebClient) -> bool:
    try:
        forms.views_open(trigger_id=asked.trigger_id, view=dict(asked.view))
    except (SlackApiError, *_NETWORK):
        return False
    return True


def metadata_of(*, case_key: str, claim_id: str) -> dict[str, Any]:
    """By what a post is found again. The claim id tells apart two installations that share a channel."""
    return {"event_type": EVENT_TYPE, "event_payload": {"case_key": case_key, "claim_id": claim_id}}


@dataclass(frozen=True)
class TokenTried:
    """Whether Slack takes the token, without a message. `missing_scopes`: None where Slack does not say what it has."""

    is_taken: bool
    detail: str
    missing_scopes: tuple[str, ...] | None = None


def try_token(slack: Slack, *, token: str, timeout_seconds: float) -> TokenTried:
    """`auth.test`: whether the token is one, and what it may do. Sends nothing to any channel."""
    client = WebClient(
        token=token,
        base_url=slack.api_url or WebClient.BASE_URL,
        timeout=max(int(timeout_seconds), 1),
        retry_handlers=[],
        logger=_silent_logger(),
    )
    try:
        answer = client.auth_test()
    except SlackApiError as error:
        code = _code_of(error)
        return TokenTried(False, f"Slack refuses the token ({code}). {_NEXT_STEPS.get(code, 'See docs.slack.dev.')}")
    except _NETWORK as error:
        reason = error.reason if isinstance(error, URLError) else error
        return TokenTried(
            False, f"No answer from Slack ({type(reason).__name__}). Check the network and slack.api_url."
        )
    granted = {name.lower(): value for name, value in answer.headers.items()}.get("x-oauth-scopes")
    if not isinstance(granted, str):
        return TokenTried(True, "Slack takes the token")
    held = {scope.strip() for scope in granted.split(",")}
    return TokenTried(True, "Slack takes the token", tuple(scope for scope in _SCOPES if scope not in held))


class SlackOutlet:
    """A bot token: posts with metadata, edits, shows pictures, and reads history for at most `HISTORY_PAGES` pages."""

    kind = "slack_bot"
    can_read_history = True
    can_show_pictures = True

    def __init__(
        self, *, token: str, channel: str, api_url: str | None = None, timeout_seconds: int = TIMEOUT_SECONDS
    ) -> None:
        self.channel = channel
        self._client = WebClient(
            token=token,
            base_url=api_url or WebClient.BASE_URL,
            timeout=timeout_seconds,
            retry_handlers=[],
            logger=_silent_logger(),
        )

    def __repr__(self) -> str:
        return f"SlackOutlet(channel={self.channel!r})"

    def post(self, *, message: Message, claim_id: str, channel: str | None = None) -> Posted | Refused | Uncertain:
        return self._write(
            lambda: self._client.chat_postMessage(
                channel=channel or self.channel,
                text=message.text,
                blocks=[dict(block) for block in message.blocks],
                metadata=metadata_of(case_key=message.case_key, claim_id=claim_id),
                unfurl_links=False,
                unfurl_media=False,
            )
        )

    def update(self, *, message: Message, claim_id: str, channel: str, timestamp: str) -> Posted | Refused | Uncertain:
        return self._write(
            lambda: self._client.chat_update(
                channel=channel,
                ts=timestamp,
                text=message.text,
                blocks=[dict(block) for block in message.blocks],
                metadata=metadata_of(case_key=message.case_key, claim_id=claim_id),
            )
        )

    def show(self, *, pictures: Sequence[Picture], channel: str, timestamp: str) -> Posted | Refused | Uncertain:
        """The pictures as one reply in the thread of a post; `channel` is its id. All of them are there, or none."""
        uploads = [
            {
                "content": picture.png,
                "filename": f"{picture.name}.png",
                "title": inert(picture.title, HEADER_LIMIT),
                "alt_txt": inert(picture.says, _ALT_LIMIT),
            }
            for picture in pictures
        ]
        try:
            self._client.files_upload_v2(file_uploads=uploads, channel=channel, thread_ts=timestamp)
        except SlackApiError as error:
            code = _code_of(error)
            needs = " It needs files:write: install infra/slack/manifest.json again." if code == "missing_scope" else ""
            return Refused(code=code, detail=f"Slack refused them ({code}).{needs}")
        except HTTPError as error:
            return Refused(code="upload_failed", detail=f"Slack's store refused them (HTTP {error.code}).")
        except _NETWORK as error:
            return _broken(error)
        except (TypeError, ValueError):
            # The SDK takes for granted that an answer has a URL to send to, and then the files.
            return Refused(code="unreadable_answer", detail="Slack's answer about them cannot be read.")
        return Posted(channel=channel, timestamp=timestamp)

    def find(
        self, *, case_key: str, claim_id: str, channel: str | None, oldest: datetime
    ) -> Found | NotFound | Unreadable:
        """The message of this claim among those since `oldest`, newest first."""
        try:
            channel_id = self._channel_id(channel or self.channel)
            if isinstance(channel_id, Unreadable):
                return channel_id
            return self._find_in(channel_id, case_key=case_key, claim_id=claim_id, oldest=oldest)
        except SlackApiError as error:
            code = _code_of(error)
            status = error.response.status_code
            is_passing = code in _PASSING or status == 429 or status >= 500
            return _unreadable(code, is_passing=is_passing)
        except _NETWORK as error:
            return _unreadable(type(error).__name__, is_passing=True)

    def _find_in(
        self, channel_id: str, *, case_key: str, claim_id: str, oldest: datetime
    ) -> Found | NotFound | Unreadable:
        wanted = metadata_of(case_key=case_key, claim_id=claim_id)
        cursor: str | None = None
        for _ in range(HISTORY_PAGES):
            page = self._client.conversations_history(
                channel=channel_id,
                cursor=cursor,
                include_all_metadata=True,
                limit=HISTORY_PAGE_MESSAGES,
                oldest=f"{oldest.timestamp():.6f}",
            )
            entries: list[dict[str, Any]] = page.get("messages") or []
            for entry in entries:
                metadata = entry.get("metadata") or {}
                payload = metadata.get("event_payload") or {}
                found = {name: payload.get(name) for name in ("case_key", "claim_id")}
                if metadata.get("event_type") == EVENT_TYPE and found == wanted["event_payload"]:
                    return Found(channel=channel_id, timestamp=str(entry["ts"]))
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return _unreadable("history_cut", is_passing=False) if page.get("has_more") else NotFound()
        return _unreadable("history_too_long", is_passing=False)

    def _channel_id(self, channel: str) -> str | Unreadable:
        """History is read by id; config may name the channel instead."""
        if _CHANNEL_ID.fullmatch(channel):
            return channel
        name = channel.removeprefix("#")
        cursor: str | None = None
        for _ in range(CHANNEL_PAGES):
            page = self._client.conversations_list(
                cursor=cursor, limit=CHANNEL_PAGE_CHANNELS, types="public_channel,private_channel"
            )
            entries: list[dict[str, Any]] = page.get("channels") or []
            for entry in entries:
                if entry.get("name") == name:
                    return str(entry["id"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                break
        return _unreadable("channel_not_found", is_passing=False)

    def _write(self, call: Callable[[], Any]) -> Posted | Refused | Uncertain:
        try:
            answer = call()
        except SlackApiError as error:
            return _refusal(_code_of(error), status=error.response.status_code, headers=error.response.headers)
        except _NETWORK as error:
            return _broken(error)
        channel, timestamp = answer.get("channel"), answer.get("ts")
        if not channel or not timestamp:
            return Uncertain(code="unreadable_answer", detail="Slack said ok without saying where the message is.")
        return Posted(channel=str(channel), timestamp=str(timestamp))


class WebhookOutlet:
    """An incoming webhook: posts, and can neither edit nor read. Its URL is a secret."""

    kind = "slack_webhook"
    channel = None
    can_read_history = False
    can_show_pictures = False

    def __init__(self, *, url: str, timeout_seconds: int = TIMEOUT_SECONDS) -> None:
        self._client = WebhookClient(url, timeout=timeout_seconds, retry_handlers=[], logger=_silent_logger())

    def __repr__(self) -> str:
        return "WebhookOutlet()"

    def post(self, *, message: Message, claim_id: str, channel: str | None = None) -> Posted | Refused | Uncertain:
        try:
            answer = self._client.send(
                text=message.text,
                blocks=[dict(block) for block in message.blocks],
                unfurl_links=False,
                unfurl_media=False,
            )
        except _NETWORK as error:
            return _broken(error)
        if answer.status_code == 200:
            return Posted(channel=None, timestamp=None)
        return _refusal(_code(answer.body), status=answer.status_code, headers=answer.headers)

    def update(self, *, message: Message, claim_id: str, channel: str, timestamp: str) -> Refused:
        return Refused(code="cant_update_message", detail="A webhook cannot edit what it posted.")

    def find(self, *, case_key: str, claim_id: str, channel: str | None, oldest: datetime) -> Unreadable:
        detail = "Slack may or may not have taken the message, and a webhook cannot read the channel's history."
        return Unreadable(code="no_history", detail=detail, is_passing=False)

    def show(self, *, pictures: Sequence[Picture], channel: str, timestamp: str) -> Refused:
        return Refused(code="no_pictures", detail="A webhook takes no files.")


def _refusal(code: str, *, status: int, headers: Mapping[str, Any]) -> Refused | Uncertain:
    if status == 429 or code in _RATE_LIMITED:
        seconds = _retry_after_seconds(headers)
        return Refused(
            code="ratelimited", detail=f"Slack asks to wait {seconds} s (HTTP {status}).", retry_after_seconds=seconds
        )
    if status >= 500 or code in _MAY_HAVE_PASSED or code == "unreadable_answer":
        return Uncertain(code=code, detail=f"Slack failed (HTTP {status}, {code}) and may have taken the message.")
    return Refused(
        code=code,
        detail=f"Slack refused (HTTP {status}, {code}). {_NEXT_STEPS.get(code, 'See docs.slack.dev for that code.')}",
        is_outlet_wide=code not in _ONE_MESSAGE_ONLY and code not in _ONE_CHANNEL_ONLY,
        is_channel_wide=code in _ONE_CHANNEL_ONLY,
    )


def _broken(error: Exception) -> Refused | Uncertain:
    reason = error.reason if isinstance(error, URLError) else error
    name = type(reason).__name__
    if isinstance(reason, _NO_CONNECTION):
        detail = f"No connection to Slack ({name}): nothing was sent. Check the network, the proxy and slack.api_url."
        return Refused(code="no_connection", detail=detail, is_outlet_wide=True)
    return Uncertain(
        code="connection_lost",
        detail=f"The connection to Slack ended before its answer ({name}); it may have taken the message.",
    )


def _unreadable(code: str, *, is_passing: bool) -> Unreadable:
    step = _NEXT_STEPS.get(code, "")
    detail = f"Slack may or may not have taken the message, and its channel could not be read ({code}). {step}".strip()
    return Unreadable(code=code, detail=detail, is_passing=is_passing)


def _code_of(error: SlackApiError) -> str:
    data = error.response.data
    return _code(data.get("error") if isinstance(data, dict) else None)


def _code(text: object) -> str:
    """Slack's own code, or `unreadable_answer`: what came from the wire is repeated only where it looks like a code."""
    return text.strip() if isinstance(text, str) and _CODE.fullmatch(text.strip()) else "unreadable_answer"


def _retry_after_seconds(headers: Mapping[str, Any]) -> int:
    for name, value in headers.items():
        text = str(value[0] if isinstance(value, list) and value else value).strip()
        if name.lower() == "retry-after" and text.isdecimal() and len(text) <= 6:
            return int(text)
    return _DEFAULT_RETRY_AFTER_SECONDS


def _silent_logger() -> logging.Logger:
    """The SDK logs request bodies and webhook URLs at DEBUG; outcomes are recorded as events instead."""
    return logging.Logger("breakeven.slack", level=logging.CRITICAL + 1)
