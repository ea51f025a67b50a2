"""Letters by SMTP: encrypted, whole, refused in words, and uncertain where nobody can know."""

import logging
from datetime import UTC, datetime

import pytest

from pipeline.config.file import parse_config
from pipeline.config.mail import Mail
from pipeline.errors import ConfigError
from pipeline.mail import Attachment, Letter, MailError, MailServer, UncertainMailError, as_message, send, server_of

from .fake_smtp import smtp_server

NOW = datetime(2026, 11, 5, 6, tzinfo=UTC)
PASSWORD = "correct-horse-battery-staple"


def letter(**said):
    return Letter(
        **{
            "key": "report 2026-10",
            "sender": "breakeven@example.com",
            "recipients": ["finance@example.com", "cfo@example.com"],
            "subject": "LLM costs, October 2026",
            "text": "Costs.\n.\n..two\nlast\n",
            "sent_at": NOW,
            **said,
        }
    )


def at(double, **said):
    return MailServer(**{"host": "127.0.0.1", "port": double.port, "user": "b", "password": PASSWORD, **said})


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """A server that wants to be asked by STARTTLS and signed in to, and whose certificate is believed."""
    with smtp_server(tmp_path) as double:
        double.users["b"] = PASSWORD
        monkeypatch.setenv("SSL_CERT_FILE", str(double.certificate))
        yield double


def test_a_letter_arrives_encrypted_signed_in_and_whole(trusted):
    """Lines that begin with a dot too, which SMTP would take for its end."""
    attached = Attachment(name="2026-10.pdf", content_type="application/pdf", content=bytes(range(256)) * 9)
    assert send(letter(html="<p>é</p>", attachments=[attached]), at(trusted)) == {}
    [found] = trusted.received
    assert (found.was_encrypted, found.user, found.sender) == (True, "b", "breakeven@example.com")
    assert found.recipients == ["finance@example.com", "cfo@example.com"]
    assert found.message["Subject"] == "LLM costs, October 2026"
    body = found.message.get_body(("plain",))
    assert body.get_content().splitlines() == ["Costs.", ".", "..two", "last"]
    assert found.message.get_body(("html",)).get_content().strip() == "<p>é</p>"
    [part] = found.message.iter_attachments()
    assert (part.get_filename(), part.get_content_type()) == ("2026-10.pdf", "application/pdf")
    assert part.get_content() == attached.content


def test_tls_from_the_start_is_spoken_where_it_is_said(tmp_path, monkeypatch):
    with smtp_server(tmp_path, security="tls") as double:
        double.users["b"] = PASSWORD
        monkeypatch.setenv("SSL_CERT_FILE", str(double.certificate))
        assert send(letter(), at(double, security="tls")) == {}
        assert double.received[0].was_encrypted


def test_the_same_letter_has_the_same_bytes_and_another_key_another_id():
    assert as_message(letter(html="<p>x</p>")).as_bytes() == as_message(letter(html="<p>x</p>")).as_bytes()
    assert as_message(letter())["Message-ID"] != as_message(letter(key="other"))["Message-ID"]
    answer = as_message(letter(key="other", follows="report 2026-10"))
    assert answer["In-Reply-To"] == as_message(letter())["Message-ID"]


def test_a_subject_from_data_is_one_line_and_adds_no_header():
    hostile = "x\r\nBcc: everybody@evil.invalid\u202e\u2028y"
    message = as_message(letter(subject=hostile))
    assert message["Bcc"] is None
    assert b"\nBcc:" not in message.as_bytes()
    assert "\u202e" not in message["Subject"]


def test_a_server_without_a_certificate_that_is_believed_gets_no_password(tmp_path):
    with smtp_server(tmp_path) as double:
        double.users["b"] = PASSWORD
        with pytest.raises(MailError, match=r"certificate is not trusted.*SSL_CERT_FILE"):
            send(letter(), at(double))
        assert not [line for line in double.heard if line.startswith(("AUTH", "MAIL"))]


def test_a_server_that_offers_no_starttls_gets_nothing_unencrypted(trusted):
    trusted.offers_starttls = False
    with pytest.raises(MailError, match="no STARTTLS"):
        send(letter(), at(trusted))
    assert not [line for line in trusted.heard if line.startswith(("AUTH", "MAIL"))]


def test_a_password_is_in_no_error_and_no_log_even_where_the_server_repeats_it(trusted, caplog, capfd):
    trusted.users["b"] = "another"
    with caplog.at_level(logging.DEBUG), pytest.raises(MailError) as caught:
        send(letter(), at(trusted))
    assert "535" in str(caught.value)
    assert "mail.password_env" in str(caught.value)
    said = f"{caught.value}{caplog.text}{capfd.readouterr()}{at(trusted)!r}"
    assert PASSWORD not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_whoever_is_refused_is_named_and_the_others_have_it(trusted):
    trusted.answers["RCPT cfo@example.com"] = "550 no such user"
    assert send(letter(), at(trusted)) == {"cfo@example.com": "550 no such user"}
    assert trusted.received[0].recipients == ["finance@example.com"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"MAIL": "553 not yours"}, r"553 not yours.*mail\.from"),
        ({"RCPT finance@example.com": "550 no", "RCPT cfo@example.com": "551 no"}, "finance@example.com .550 no"),
        ({"DATA": "451 later"}, "451 later"),
        ({".": "552 too large"}, "552 too large"),
        ({"MAIL": "530 sign in first"}, "mail.password_env"),
    ],
)
def test_what_is_refused_is_not_mailed_and_says_so(trusted, answers, words):
    trusted.answers.update(answers)
    with pytest.raises(MailError, match=words) as caught:
        send(letter(), at(trusted))
    assert not isinstance(caught.value, UncertainMailError)
    assert "Nothing was mailed" in str(caught.value)
    assert trusted.received == []


@pytest.mark.parametrize("command", ["EHLO", "AUTH", "MAIL", "RCPT finance@example.com", "DATA"])
def test_a_connection_that_ends_before_the_letter_went_out_has_delivered_nothing(trusted, command):
    trusted.hangs_up.add(command)
    with pytest.raises(MailError, match="Nothing was mailed") as caught:
        send(letter(), at(trusted))
    assert not isinstance(caught.value, UncertainMailError)


def test_a_connection_that_ends_after_the_letter_went_out_may_have_delivered_it(trusted):
    """And here it did: whoever sent it again would have sent it twice."""
    trusted.hangs_up.add(".")
    with pytest.raises(UncertainMailError, match="may be delivered"):
        send(letter(), at(trusted))
    assert len(trusted.received) == 1


def test_nobody_there_is_said_with_the_address():
    with pytest.raises(MailError, match=r"127\.0\.0\.1:1: it cannot be reached"):
        send(letter(), MailServer(host="127.0.0.1", port=1))


def test_a_password_that_is_configured_must_be_in_the_environment():
    mail = Mail.model_validate({"host": "smtp.example.com", "from": "b@example.com", "password_env": "SMTP_PASSWORD"})
    with pytest.raises(MailError, match="SMTP_PASSWORD, which is not set"):
        server_of(mail, environment={})
    assert server_of(mail, environment={"SMTP_PASSWORD": f" {PASSWORD}\n"}).password == PASSWORD
    with pytest.raises(MailError, match="Set it anew") as caught:
        server_of(mail, environment={"SMTP_PASSWORD": "pässword"})
    assert "pässword" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("{host: h, from: b@example.com, security: none, password_env: P}", "unencrypted"),
        ("{host: h, from: 'b@example.com, c@example.com'}", "mail.from"),
        ("{host: h, from: b@example.com, password_env: not-a-name}", "not its value"),
        ("{host: 'h\\r\\nx', from: b@example.com}", "mail.host"),
    ],
)
def test_a_mail_server_that_cannot_be_is_refused(said, words):
    with pytest.raises(ConfigError, match=words):
        parse_config(f"company: Acme\nmail: {said}\n")
