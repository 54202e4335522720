"""The settings by which an integration of any kind names a watched folder (`apps.collectors.folders`). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from django import forms

#: how a sender shows that a file is complete
STABLE, MARKER, RENAME = "stable", "marker", "rename"


class FolderForm(forms.Form):
    """Settings of every kind that may read a watched folder."""

    folder = forms.CharField(
        required=False,
        max_length=300,
        label="Watched folder",
        help_text="Below the tower's drop root, such as acme/in. Files that come there are taken and moved to done/",
    )
    folder_files = forms.CharField(
        required=False, max_length=200, label="Only files named", help_text="A pattern such as *.csv; empty: all"
    )
    folder_complete = forms.ChoiceField(
        choices=[
            ("", "it has not changed between two looks"),
            (MARKER, "an empty file beside it says so (orders.csv.done)"),
            (RENAME, "it is there: the sender writes under another name and renames"),
        ],
        required=False,
        label="A file is complete when",
    )
    folder_marker = forms.CharField(
        required=False, max_length=20, label="Ending of the marker", help_text="Usually .done"
    )

    def clean_folder(self) -> str:
        name = str(self.cleaned_data.get("folder") or "").strip()
        if name:
            try:
                relative_path(name)
            except ValueError as error:
                raise forms.ValidationError(str(error)) from None
        return name


def is_named(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("folder"))


def relative_path(name: str) -> PurePosixPath:
    """A folder's name as a path below the drop root. Raises ValueError with a sentence."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\x00" in name or not path.parts:
        raise ValueError(
            "A watched folder is named from the drop root down, such as acme/in: without a slash in front, without .."
        )
    return path
