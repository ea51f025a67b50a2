"""Letters by SMTP, over TLS. A password comes from the environment alone and is in no text that leaves this module.

SMTP takes no key by which a second delivery of one letter would be refused. What a letter is of (`key`) makes its
Message-ID, by which mail programs know two copies apart from two letters; whoever sends claims first, and reads
UncertainMailError as "perhaps delivered".
"""

import base64
import hashlib
import re
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Literal

from pipeline.config.mail import Mail
from pipeline.errors import BreakevenError
from pipeline.formats.masking import masked

TIMEOUT_SECONDS = 30
_MOST_REPLY = 200
# Nothing that would end a header line, hide or turn what is read.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class MailError(BreakevenError):
    """Nothing was delivered: the message says why and what to do."""

    exit_code = 3


class UncertainMailError(MailError):
    """The connection ended after the letter had gone out and before the server answered: it may be delivered."""


@dataclass(frozen=True, kw_only=True)
class MailServer:
    """`security`: TLS from the start, by STARTTLS, or none, which goes without a password."""

    host: str
    port: int
    security: Literal["tls", "starttls", "none"] = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """`content_type`: like `application/pdf`."""

    name: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Letter:
    """`text` is what every reader sees; `html` the same for those that show it. `follows`: the key of another letter,
    of whose thread it is.
    """

    key: str
    sender: str
    recipients: Sequence[str]
    subject: str
    text: str
    sent_at: datetime
    html: str | None = None
    attachments: Sequence[Attachment] = ()
    follows: str | None = None


def server_of(mail: Mail, *, environment: Mapping[str, str]) -> MailServer:
    """The server that breakeven.yaml names, with its password. MailError where its variable holds none."""
    password = environment.get(mail.password_env, "").strip() if mail.password_env else ""
    if mail.password_env and not password:
        raise MailError(
            f"mail.password_env names {mail.password_env}, which is not set. Set it, or leave password_env out where "
            "the server wants none."
        )
    if not password.isascii() or not password.isprintable():
        raise MailError(f"The environment variable {mail.password_env} holds more than ASCII. Set it anew.")
    return MailServer(host=mail.host, port=mail.port, security=mail.security, user=mail.user, password=password or None)


def message_id(key: str, sender: str) -> str:
    """The same key, the same id: a copy of a letter is no second one."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{sender.rpartition('@')[2]}>"


def as_message(letter: Letter) -> EmailMessage:
    """The letter as it goes out. Its bytes depend on the letter alone."""
    found = EmailMessage(policy=SMTP)
    found["From"] = letter.sender
    found["To"] = ", ".join(letter.recipients)
    found["Subject"] = _CONTROL.sub(" ", letter.subject)[:200]
    found["Date"] = letter.sent_at
    found["Message-ID"] = message_id(letter.key, letter.sender)
    found["Auto-Submitted"] = "auto-generated"
    if letter.follows is not None:
        found["In-Reply-To"] = found["References"] = message_id(letter.follows, letter.sender)
    found.set_content(letter.text)
    if letter.html is not None:
        found.add_alternative(letter.html, subtype="html")
    for attached in letter.attachments:
        main, _, sub = attached.content_type.partition("/")
        found.add_attachment(attached.content, maintype=main, subtype=sub, filename=_CONTROL.sub("", attached.name))
    for number, part in enumerate(part for part in found.walk() if part.is_multipart()):
        part.set_boundary(f"=={hashlib.sha256(f'{letter.key} {number}'.encode()).hexdigest()[:40]}==")
    return found


def send(letter: Letter, server: MailServer, *, timeout_seconds: float = TIMEOUT_SECONDS) -> dict[str, str]:
    """Send to all recipients at once. Returns those that the server refused, with its words; the others have it.

    Raises MailError where nobody has it, UncertainMailError where nobody can know.
    """
    content = as_message(letter).as_bytes()
    said = _Words(server)
    try:
        connection = _connected(letter, server, timeout_seconds)
    except (OSError, smtplib.SMTPException, UnicodeError) as error:  # UnicodeError: no name that is looked up.
        raise MailError(f"{said.place}: {said.of(error)}. Nothing was mailed. {_next_step(error)}") from None
    try:
        return _delivered(connection, letter, content, said)
    except UncertainMailError:
        raise
    except (OSError, smtplib.SMTPException) as error:
        raise MailError(f"{said.place}: {said.of(error)}. Nothing was mailed. {_next_step(error)}") from None
    finally:
        _leave(connection)


def _connected(letter: Letter, server: MailServer, timeout_seconds: float) -> smtplib.SMTP:
    # What one calls oneself is looked up in the DNS otherwise, which may take long and is asked by nobody.
    name = letter.sender.rpartition("@")[2]
    if server.security == "tls":
        context = ssl.create_default_context()
        made: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, local_hostname=name, timeout=timeout_seconds, context=context
        )
    else:
        made = smtplib.SMTP(server.host, server.port, local_hostname=name, timeout=timeout_seconds)
    try:
        if server.security == "starttls":
            made.starttls(context=ssl.create_default_context())
        if server.password is not None:
            made.login(server.user or letter.sender, server.password)
    except BaseException:
        _leave(made)
        raise
    return made


def _delivered(connection: smtplib.SMTP, letter: Letter, content: bytes, said: "_Words") -> dict[str, str]:
    connection.ehlo_or_helo_if_needed()
    code, reply = connection.mail(letter.sender)
    if code != 250:
        raise smtplib.SMTPSenderRefused(code, reply, letter.sender)
    refused = {}
    for recipient in letter.recipients:
        code, reply = connection.rcpt(recipient)
        if code not in (250, 251):
            refused[recipient] = said.reply(code, reply)
    if len(refused) == len(letter.recipients):
        raise smtplib.SMTPRecipientsRefused({name: (0, text.encode()) for name, text in refused.items()})
    # Before the server has asked for the letter nothing is delivered; from then on only its answer says so.
    connection.putcmd("data")
    code, reply = connection.getreply()
    if code != 354:
        raise smtplib.SMTPDataError(code, reply)
    try:
        connection.send(_dotted(content))
        code, reply = connection.getreply()
    except (OSError, smtplib.SMTPException) as error:
        raise UncertainMailError(
            f"{said.place}: {said.of(error)}, after the letter had gone out. It may be delivered: look before you send "
            "it again."
        ) from None
    if code != 250:
        raise smtplib.SMTPDataError(code, reply)
    return refused


def _dotted(content: bytes) -> bytes:
    """RFC 5321, 4.5.2: a line that begins with a dot gets another one; one alone ends the letter."""
    lines = re.sub(rb"(?m)^\.", b"..", content)
    return lines + (b"" if lines.endswith(b"\r\n") else b"\r\n") + b".\r\n"


def _leave(connection: smtplib.SMTP) -> None:
    try:
        connection.quit()
    except (OSError, smtplib.SMTPException):
        connection.close()


class _Words:
    """What a server said, on one line, cut, and without the password, which a refusal may repeat."""

    def __init__(self, server: MailServer) -> None:
        self.place = f"{server.host}:{server.port}"
        self._secrets = []
        if server.password is not None:
            # As it is, and as `AUTH LOGIN` and `AUTH PLAIN` spell it.
            spelt = (server.password, f"\0{server.user}\0{server.password}")
            self._secrets = [server.password, *(base64.b64encode(one.encode()).decode() for one in spelt)]

    def reply(self, code: int, said: bytes | str) -> str:
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        line = " ".join(_CONTROL.sub(" ", masked(text, self._secrets)).split())[:_MOST_REPLY]
        return f"{code} {line}".strip() if code else line

    def of(self, error: BaseException) -> str:
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            refused: Mapping[str, tuple[int, bytes]] = error.recipients
            return "it refuses " + "; ".join(f"{name} ({self.reply(*said)})" for name, said in refused.items())
        if isinstance(error, smtplib.SMTPResponseException):
            return f"it answers {self.reply(error.smtp_code, error.smtp_error)}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({error.verify_message})"
        if isinstance(error, ssl.SSLError):
            return "it does not speak TLS there"
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return "it offers no STARTTLS, or no way to sign in"
        if isinstance(error, smtplib.SMTPServerDisconnected | ConnectionResetError | BrokenPipeError):
            return "it ended the connection"
        if isinstance(error, TimeoutError):
            return "it does not answer in time"
        return f"it cannot be reached ({type(error).__name__})"


def _next_step(error: BaseException) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError) or getattr(error, "smtp_code", 0) == 530:
        return "Check mail.user and the variable that mail.password_env names."
    if isinstance(error, ssl.SSLCertVerificationError):
        return "Check mail.host; where the certificate is of your own authority, name its file in SSL_CERT_FILE."
    if isinstance(error, ssl.SSLError | smtplib.SMTPNotSupportedError):
        return "Check mail.security: port 465 speaks tls, port 587 starttls."
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "Check the addresses."
    if isinstance(error, smtplib.SMTPSenderRefused):
        return "Check mail.from."
    return "Check mail.host and mail.port, and run it again."
