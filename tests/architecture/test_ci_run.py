"""`.ci/run` says what the tests said, whatever happens while it stops the servers it started."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "dirname", "mktemp", "chmod", "mkdir", "ls", "sort", "tail", "cat", "rm")


@pytest.fixture
def pretend(tmp_path: Path) -> Path:
    """A PATH of its own: no package manager, a root who is none, servers that are gone at once, a name server that refuses."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool) or pytest.skip(f"there is no {tool}"))
    programs = {
        "id": "echo 0",
        "chown": "exit 0",
        "redis-server": "exit 1",
        # dead before it is stopped, but its process id stays behind
        "rabbitmq-server": 'mkdir -p "$RABBITMQ_MNESIA_BASE" && echo 999999999 >"$RABBITMQ_PID_FILE"; exit 1',
        "epmd": "exit 1",
        "install": "exit 0",
        "runuser": "exit 0",
        "make": 'while [ ! -f "$RABBIT_SEEN"/*/rabbit/pid ]; do :; done; exit "$TESTS_SAY"',
    }
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("tests_say", [0, 2])
def test_a_failed_clean_up_does_not_change_the_result(pretend: Path, tmp_path: Path, tests_say: int) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {
        "PATH": str(pretend),
        "HOME": str(tmp_path),
        "TMPDIR": str(scratch),
        "TESTS_SAY": str(tests_say),
        "RABBIT_SEEN": str(scratch),
    }
    run = subprocess.run(
        [str(pretend / "sh"), str(ROOT / ".ci" / "run")], env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == tests_say, run.stderr
    assert not os.listdir(scratch), "what it made for itself is left behind"
