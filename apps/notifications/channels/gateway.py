"""SMS and voice gateways that take a plain HTTP request: which field is called what is said in the settings."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, ClassVar

from django import forms

from apps.notifications.contract import Message, Secret, Target
from apps.notifications.fields import AddressField, HttpForm, PhoneField, clean_phone
from apps.notifications.http import Call, HttpChannel, Steps, cut, form_call

FORMATS = {"json": "JSON", "form": "Form fields"}


class GatewayForm(HttpForm):
    url = AddressField(label="Address", help_text="Where the gateway takes a message")
    format = forms.ChoiceField(choices=list(FORMATS.items()), label="It takes")
    field_to = forms.CharField(max_length=40, initial="to", label="Field of the number")
    field_text = forms.CharField(max_length=40, initial="text", label="Field of the text")
    field_id = forms.CharField(
        max_length=40,
        required=False,
        label="Field of our message id",
        help_text="So that it can drop doubles, if it can",
    )
    extra = forms.CharField(
        required=False,
        max_length=2000,
        label="Further fields",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text='As JSON, like {"from": "Tower"}. Nothing secret: that goes below',
    )
    header = forms.CharField(max_length=60, initial="Authorization", label="Header of the key")
    to = PhoneField(
        required=False, max_length=40, label="To", help_text="Only for a shared telephone, such as the shift's"
    )
    field_order = ("url", "format", "field_to", "field_text", "field_id", "extra", "header", "to")

    def clean_extra(self) -> str:
        text: str = self.cleaned_data["extra"].strip()
        if text:
            try:
                found = json.loads(text)
            except (ValueError, RecursionError):
                raise forms.ValidationError('This is no JSON; write it like {"from": "Tower"}.') from None
            if not isinstance(found, dict) or not all(isinstance(one, (str, int, bool)) for one in found.values()):
                raise forms.ValidationError('Write names and plain values in braces, like {"from": "Tower"}.')
        return text


class SmsGateway(HttpChannel):
    kind = "sms_gateway"
    label = "SMS (any HTTP gateway)"
    purpose = "A short text to people's telephones, through any gateway with a plain HTTP interface"
    personal = True
    address_label = "Mobile number"
    address_help = "With the country: +49 170 1234567"
    ConfigForm = GatewayForm
    secrets: ClassVar = (Secret("key", "Key", "The whole value of that header, like Bearer abc…", False),)

    def clean_address(self, text: str) -> str:
        return clean_phone(text)

    def words(self, message: Message) -> str:
        return cut(message.short or message.subject, 459)

    def steps(self, message: Message, target: Target, now: datetime) -> Steps:
        config = target.config
        values: dict[str, Any] = json.loads(config.get("extra") or "{}")
        values[str(config.get("field_to", "to"))] = message.recipient
        values[str(config.get("field_text", "text"))] = self.words(message)
        if config.get("field_id"):
            values[str(config["field_id"])] = message.key
        key = target.secrets.get("key", "")
        headers = {str(config.get("header", "Authorization")).lower(): key} if key else {}
        url = str(config.get("url", ""))
        if config.get("format") == "form":
            yield form_call(url, {name: str(value) for name, value in values.items()}, headers)
        else:
            body = json.dumps(values, ensure_ascii=False).encode()
            yield Call("POST", url, {"content-type": "application/json", **headers}, body)
        return None


class VoiceGateway(SmsGateway):
    kind = "voice_gateway"
    label = "Call (any HTTP gateway)"
    purpose = "A call that reads the news aloud, through any gateway with a plain HTTP interface"
    rings = True

    def words(self, message: Message) -> str:
        return cut(message.spoken or message.subject, 800)
