"""E-mail through Django's mail settings (EMAIL_URL, DEFAULT_FROM_EMAIL)."""

from __future__ import annotations

import smtplib
from collections.abc import Iterable
from datetime import datetime

from django import forms
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.validators import validate_email

from apps.notifications.contract import Channel, DeliveryError, Message, Target

#: seconds for one step of the conversation with the mail server
TIMEOUT = 10


class EmailForm(forms.Form):
    to = forms.EmailField(
        required=False,
        label="Shared mailbox",
        help_text="For a channel that is a place of its own: a list or a shared mailbox",
    )


class Email(Channel):
    """Text and HTML. The Message-ID is ours, so a mailbox that gets a message twice can tell (RFC 5322, 3.6.4)."""

    kind = "email"
    label = "E-mail"
    purpose = "A mail with everything, in text and HTML, through the tower's own mail server"
    personal = True
    address_label = "E-mail address"
    ConfigForm = EmailForm

    def clean_address(self, text: str) -> str:
        validate_email(text.strip())
        return text.strip()

    def send(self, message: Message, target: Target, now: datetime) -> str:
        try:
            validate_email(message.recipient)
        except ValidationError as error:
            raise DeliveryError(f"{message.recipient!r} is no e-mail address", permanent=True) from error
        self._hand_over(self._mail(message))
        return "The mail server has taken it."

    def _mail(self, message: Message) -> EmailMultiAlternatives:
        mail = EmailMultiAlternatives(
            subject=" ".join(message.subject.split()),
            body=message.text,
            to=[message.recipient],
            headers={
                "Message-ID": message.message_id,
                "References": message.thread,
                "In-Reply-To": message.thread,
                # no out-of-office answers to a machine (RFC 3834)
                "Auto-Submitted": "auto-generated",
                "X-Auto-Response-Suppress": "All",
            },
            connection=get_connection(timeout=TIMEOUT),
        )
        if message.html:
            mail.attach_alternative(message.html, "text/html")
        return mail

    def _hand_over(self, mail: EmailMultiAlternatives) -> None:
        try:
            mail.send()
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _text in error.recipients.values()]
            raise DeliveryError(_said(error.recipients.values()), permanent=_final(codes)) from error
        except smtplib.SMTPDataError as error:
            raise DeliveryError(
                _said([(error.smtp_code, error.smtp_error)]), permanent=_final([error.smtp_code])
            ) from error
        except smtplib.SMTPResponseException as error:
            # sign-in or sender refused: our settings are wrong, the recipient is not; it waits until they are right
            raise DeliveryError(_said([(error.smtp_code, error.smtp_error)])) from error
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(
                f"The mail server could not be reached: {error or type(error).__name__}", unreachable=True
            ) from error
        except ValueError as error:  # a header that no mail can have
            raise DeliveryError(f"This cannot be put into a mail: {error}", permanent=True) from error


def _final(codes: Iterable[int]) -> bool:
    """5yz: "permanent negative completion reply" (RFC 5321, 4.2.1)."""
    return all(500 <= code < 600 for code in codes)


def _said(replies: Iterable[tuple[int, bytes | str]]) -> str:
    return "The mail server said: " + "; ".join(
        f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}" for code, text in replies
    )
