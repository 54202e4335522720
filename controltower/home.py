"""CONTROLTOWER_HOME: the one folder the tower writes to on a single machine. No Django here: the launcher reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import environ

ENVIRONMENT_FILE = "environment"


def home_of(environment: Mapping[str, str], uid: int) -> Path:
    """CONTROLTOWER_HOME, else a folder of the user's; for root below /var/lib, since the embedded PostgreSQL runs as
    another user and every parent of its data becomes readable to it: never below a home directory as root."""
    if given := environment.get("CONTROLTOWER_HOME"):
        return Path(given).expanduser().resolve()
    if uid == 0:
        return Path("/var/lib/controltower")
    if data := environment.get("XDG_DATA_HOME"):
        return Path(data) / "controltower"
    return Path.home() / ".local/share/controltower"


def default_home(env: environ.Env) -> Path:
    return home_of(env.ENVIRON, os.geteuid())


def read_environment(home: Path) -> dict[str, str]:
    """What the launcher wrote for commands of the same installation; {} where nothing was ever started."""
    path = home / ENVIRONMENT_FILE
    if not path.exists():
        return {}
    lines = [line for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def write_environment(home: Path, values: Mapping[str, str]) -> None:
    """Writes it for `manage.py` in another terminal: mode 600, and never half there."""
    path = home / ENVIRONMENT_FILE
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write("# written by `make run`; read by manage.py when DATABASE_URL is not set\n")
        file.writelines(f"{key}={value}\n" for key, value in sorted(values.items()))
    part.replace(path)


def broker_options(url: str, folder: Path) -> dict[str, Any]:
    """Transport options by kind of broker; fail within seconds, since a wake-up is not worth a blocked request."""
    if url.startswith("filesystem"):
        return {
            "data_folder_in": str(folder / "messages"),
            "data_folder_out": str(folder / "messages"),
            "control_folder": str(folder / "control"),
            # a folder of ours instead of the machine's temporary one, so that taking a message is a rename
            "processed_folder": str(folder / "taken"),
            "store_processed": False,
            "polling_interval": 0.2,
        }
    if url.startswith(("redis", "valkey")):
        return {"socket_connect_timeout": 2, "socket_timeout": 10, "visibility_timeout": 1800}
    return {"confirm_publish": True}


def prepare_broker(folder: Path) -> None:
    """The folders of the filesystem broker; the transport does not make them."""
    for name in ("messages", "control", "taken"):
        (folder / name).mkdir(parents=True, exist_ok=True)
