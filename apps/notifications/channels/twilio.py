"""SMS and calls through Twilio or a gateway that speaks its API (Twilio: Messages and Calls resources, 2010-04-01)."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from urllib.parse import quote
from xml.sax.saxutils import escape

from django import forms

from apps.notifications.contract import Message, Secret, Target
from apps.notifications.fields import AddressField, HttpForm, PhoneField, clean_phone
from apps.notifications.http import HttpChannel, Steps, basic, cut, form_call

#: three parts of a concatenated text
SMS_LENGTH = 459


class TwilioForm(HttpForm):
    account = forms.CharField(max_length=64, label="Account SID", help_text="Begins with AC")
    sender = forms.CharField(max_length=40, label="From", help_text="Your number, or a sender name where it is allowed")
    to = PhoneField(
        required=False, max_length=40, label="To", help_text="Only for a shared telephone, such as the shift's"
    )
    base_url = AddressField(
        label="API", initial="https://api.twilio.com", help_text="Change it for a gateway that speaks the same"
    )
    field_order = ("account", "sender", "to", "base_url")


class TwilioSms(HttpChannel):
    kind = "twilio_sms"
    label = "SMS (Twilio)"
    purpose = "A short text to people's telephones, through Twilio or a gateway that speaks its API"
    personal = True
    address_label = "Mobile number"
    address_help = "With the country: +49 170 1234567"
    ConfigForm = TwilioForm
    secrets: ClassVar = (Secret("token", "Auth token"),)
    resource: ClassVar[str] = "Messages"

    def clean_address(self, text: str) -> str:
        return clean_phone(text)

    def content(self, message: Message) -> dict[str, str]:
        return {"Body": cut(message.short or message.subject, SMS_LENGTH)}

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        account = str(target.config.get("account", ""))
        base = str(target.config.get("base_url", "https://api.twilio.com")).rstrip("/")
        values = {"To": message.recipient, "From": str(target.config.get("sender", "")), **self.content(message)}
        url = f"{base}/2010-04-01/Accounts/{quote(account, safe='')}/{self.resource}.json"
        yield form_call(url, values, basic(account, target.secrets.get("token", "")))
        return None


class TwilioVoice(TwilioSms):
    """A machine reads the message twice; to acknowledge, a text or the inbox is needed."""

    kind = "twilio_voice"
    label = "Call (Twilio)"
    purpose = "A call that reads the news aloud, for nights"
    rings = True
    resource: ClassVar[str] = "Calls"

    def content(self, message: Message) -> dict[str, str]:
        words = escape(cut(message.spoken or message.subject, 800))
        said = f'<Say>{words}</Say><Pause length="1"/>'
        return {"Twiml": f"<Response>{said}{said}</Response>"}
