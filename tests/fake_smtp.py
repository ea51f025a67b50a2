"""A mail server on loopback that can refuse, hang up and keep silent at each step, with TLS of its own authority."""

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from tests.authority import authority

Security = str


@dataclass
class Received:
    sender: str
    recipients: list[str]
    raw: bytes
    user: str | None
    was_encrypted: bool

    @property
    def message(self) -> EmailMessage:
        found = message_from_bytes(self.raw, policy=SMTP)
        assert isinstance(found, EmailMessage)
        return found


@dataclass
class FakeSmtp:
    """`answers`: what is said in the place of 250 to a command (`MAIL`, `RCPT bad@x`, `DATA`, `.`, `AUTH`, `EHLO`);
    `hangs_up`: commands after which the connection ends without an answer.
    """

    users: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    hangs_up: set[str] = field(default_factory=set)
    offers_starttls: bool = True
    received: list[Received] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    port: int = 0
    certificate: Path = Path()


@contextmanager
def smtp_server(folder: Path, *, security: Security = "starttls") -> Iterator[FakeSmtp]:
    """Serving until the block ends. `certificate` is its authority's file, for SSL_CERT_FILE."""
    double = FakeSmtp()
    certificate, key = authority("mail")
    (folder / "smtp.pem").write_bytes(certificate + key)
    double.certificate = folder / "smtp-authority.pem"
    double.certificate.write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "smtp.pem")

    class Conversation(socketserver.StreamRequestHandler):
        timeout = 20

        def handle(self) -> None:
            try:
                if security == "tls":
                    self._encrypt()
                self._talk()
            except OSError:
                return

        def _encrypt(self) -> None:
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.encrypted = True

        def _say(self, text: str) -> None:
            self.connection.sendall(f"{text}\r\n".encode())

        def _talk(self) -> None:
            self.encrypted = security == "tls"
            self.user: str | None = None
            sender, recipients = "", list[str]()
            self._say("220 double ESMTP")
            while line := self.rfile.readline():
                text = line.decode("utf-8", "replace").strip()
                double.heard.append(text)
                verb = text.split(" ")[0].upper()
                address = text.partition("<")[2].partition(">")[0]
                asked = f"{verb} {address}" if verb == "RCPT" else verb
                if asked in double.hangs_up:
                    return
                if asked in double.answers:
                    self._say(double.answers[asked])
                elif verb == "EHLO":
                    self._greet()
                elif verb == "STARTTLS":
                    self._say("220 go ahead")
                    self._encrypt()
                elif verb == "AUTH":
                    self._sign_in(text)
                elif verb == "MAIL":
                    sender, recipients = address, []
                    self._say("250 ok")
                elif verb == "RCPT":
                    recipients.append(address)
                    self._say("250 ok")
                elif verb == "DATA":
                    if not self._take(sender, recipients):
                        return
                elif verb == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 ok")

        def _greet(self) -> None:
            offered = ["250-double"]
            if double.offers_starttls and not self.encrypted:
                offered.append("250-STARTTLS")
            if double.users:
                offered.append("250-AUTH PLAIN")
            self._say("\r\n".join([*offered, "250 SIZE 50000000"]))

        def _sign_in(self, text: str) -> None:
            _, user, password = base64.b64decode(text.split(" ")[2]).decode().split("\0")
            if double.users.get(user) == password:
                self.user = user
                self._say("235 welcome")
            else:
                self._say(f"535 5.7.8 no such user with {password}")

        def _take(self, sender: str, recipients: list[str]) -> bool:
            """False where the connection is to end: the letter is kept all the same, as a real server may."""
            self._say("354 go on")
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line[1:] if line.startswith(b"..") else line)
            if "." in double.answers:
                self._say(double.answers["."])
                return True
            double.received.append(Received(sender, list(recipients), b"".join(lines), self.user, self.encrypted))
            if "." in double.hangs_up:
                return False
            self._say("250 queued")
            return True

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            return

    with Server(("127.0.0.1", 0), Conversation) as server:
        double.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()
