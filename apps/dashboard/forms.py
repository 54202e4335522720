"""Forms of the staff pages. The settings of an integration come from the form of its collector."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.utils.text import slugify

from apps.collectors.contract import COLLECTORS, Collector
from apps.core.zones import zone_names
from apps.integrations.models import PURPOSES, Integration, Partner
from apps.integrations.models import Mapping as MappingRow

SPANS = {
    "": "Found out by itself from its own history",
    "PT15M": "15 minutes",
    "PT1H": "1 hour",
    "PT6H": "6 hours",
    "P1D": "1 day",
    "P3D": "3 days",
    "P7D": "7 days",
}
_SPAN_VALUES = {
    "PT15M": timedelta(minutes=15),
    "PT1H": timedelta(hours=1),
    "PT6H": timedelta(hours=6),
    "P1D": timedelta(days=1),
    "P3D": timedelta(days=3),
    "P7D": timedelta(days=7),
}


def zones() -> list[tuple[str, str]]:
    """IANA names with a place in them, and UTC."""
    return [
        ("UTC", "UTC"),
        *((name, name) for name in sorted(zone_names()) if "/" in name and name[:4] != "Etc/"),
    ]


def dress(form: forms.BaseForm) -> None:
    """Gives widgets the classes of the design system, and ties their help to them for screen readers."""
    for name, one in form.fields.items():
        widget = one.widget
        if isinstance(widget, forms.CheckboxInput):
            widget.attrs.setdefault("class", "form-check-input")
        elif isinstance(widget, forms.CheckboxSelectMultiple):
            continue
        elif isinstance(widget, forms.SelectMultiple):
            one.widget = forms.CheckboxSelectMultiple(choices=widget.choices)
        elif isinstance(widget, forms.Select):
            widget.attrs.setdefault("class", "form-select")
        else:
            widget.attrs.setdefault("class", "form-control")
            if isinstance(widget, forms.Textarea):
                widget.attrs["rows"] = 3
        if one.help_text:
            widget.attrs.setdefault("aria-describedby", f"{form[name].auto_id}_helptext")


class IntegrationForm(forms.ModelForm):  # type: ignore[type-arg]
    """What is agreed about an integration, whatever its kind. A new partner can be named at once."""

    new_partner = forms.CharField(
        required=False, max_length=200, label="or a new partner", help_text="Its name, when it is not in the list yet"
    )
    new_partner_kind = forms.ChoiceField(required=False, choices=Partner.Kind.choices, label="The new partner is a")
    time_zone = forms.ChoiceField(
        choices=zones, initial="UTC", label="Time zone", help_text="Of times that come without one"
    )
    silent_after = forms.ChoiceField(
        choices=list(SPANS.items()),
        required=False,
        label="Counts as unheard after",
        help_text="Without any message for so long",
    )

    class Meta:
        model = Integration
        fields = (
            "name",
            "partner",
            "new_partner",
            "new_partner_kind",
            "system",
            "team",
            "time_zone",
            "mapping",
            "criticality",
            "latency_class",
            "environment",
            "lifecycle",
        )
        labels = {"latency_class": "Messages come", "team": "Owner team"}
        help_texts = {
            "name": "As people say it: “3PL North WMS events”",
            "mapping": "How the sender's fields become events. Without one, deliveries must be in the tower's own form",
        }

    def __init__(self, *args: Any, collector: Collector, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.collector = collector
        newest = MappingRow.objects.order_by("slug", "-version").distinct("slug").values("pk")
        choice = self.fields["mapping"]
        assert isinstance(choice, forms.ModelChoiceField)
        present = MappingRow.objects.filter(pk=self.instance.mapping_id or 0)
        choice.queryset = MappingRow.objects.filter(pk__in=newest) | present
        if not collector.takes_mapping:
            del self.fields["mapping"]
        if not self.instance.pk:  # it is being onboarded until somebody sets it live
            del self.fields["lifecycle"]
        for name, empty in (
            ("partner", "No partner (an own system)"),
            ("system", "None"),
            ("team", "No team yet"),
            ("mapping", "None"),
        ):
            if name in self.fields:
                self.fields[name].empty_label = empty  # type: ignore[attr-defined]
        if self.instance.stale_after:
            known = {value: name for name, value in _SPAN_VALUES.items()}
            name = known.get(self.instance.stale_after, "as is")
            if name == "as is":
                self.fields["silent_after"].choices = [("as is", str(self.instance.stale_after)), *SPANS.items()]  # type: ignore[attr-defined]
            self.fields["silent_after"].initial = name
        dress(self)

    def clean_new_partner(self) -> str:
        name = str(self.cleaned_data["new_partner"]).strip()
        slug = slugify(name)[:64]
        if name and not slug:
            raise forms.ValidationError("Give the partner a name with letters or digits.")
        if slug and Partner.objects.filter(slug=slug).exists():
            raise forms.ValidationError("There is a partner of this name already: choose it from the list.")
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("new_partner") and cleaned.get("partner"):
            self.add_error("new_partner", "Choose a partner from the list or name a new one, not both.")
        if not self.instance.pk and cleaned.get("name") and not slugify(cleaned["name"]):
            self.add_error("name", "Give it a name with letters or digits.")
        return cleaned

    def build(self) -> Integration:
        """The integration as filled in, not saved. A new partner is made."""
        found = self.save(commit=False)
        cleaned = self.cleaned_data
        if cleaned.get("new_partner"):
            kind = cleaned.get("new_partner_kind") or Partner.Kind.SUPPLIER
            name = cleaned["new_partner"]
            found.partner = Partner.objects.create(
                slug=slugify(name)[:64], name=name, kind=kind, time_zone=found.time_zone
            )
        if cleaned.get("silent_after") != "as is":
            found.stale_after = _SPAN_VALUES.get(cleaned.get("silent_after") or "")
        if not found.pk:
            found.kind = self.collector.kind
            found.lifecycle = Integration.Lifecycle.ONBOARDING
            found.slug = free_slug(slugify(cleaned["name"]))
        return found


def free_slug(wanted: str) -> str:
    """This slug, or the first with a number that nobody has."""
    taken = set(Integration.objects.filter(slug__startswith=wanted[:56]).values_list("slug", flat=True))
    slug, number = wanted[:60], 2
    while slug in taken or slug == "add":
        slug, number = f"{wanted[:56]}-{number}", number + 1
    return slug


def settings_form(
    kind: str, data: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
) -> forms.Form:
    """The collector's own form, filled with the settings kept."""
    form = COLLECTORS.get(kind).ConfigForm(data, prefix="settings", initial=dict(settings or {}))
    dress(form)
    return form


def settings_of(form: forms.Form, before: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a valid settings form: values that say something; keys no form knows stay as they are."""
    unknown = {name: value for name, value in before.items() if name not in form.fields}
    told = {
        name: value for name, value in form.cleaned_data.items() if value is not False and value not in (None, "", [])
    }
    return unknown | told


class SecretForm(forms.Form):
    """A secret the sender chose itself; empty: the tower makes one. purpose: of integrations that send and are read."""

    purpose = forms.ChoiceField(
        choices=list(PURPOSES.items()),
        required=False,
        label="What it is for",
        widget=forms.Select(attrs={"class": "form-select"}),
    )

    secret = forms.CharField(
        required=False,
        min_length=8,
        max_length=1000,
        strip=True,
        label="Their secret",
        widget=forms.PasswordInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
