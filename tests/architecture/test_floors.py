"""The house rules, as tests: floors for imports and foreign keys, sizes, names, lint and types."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import current_app
from django.apps import apps
from django.conf import settings

ROOT: Path = settings.BASE_DIR
LONGEST_FILE = 400
LONGEST_TEST_FILE = 600
LONGEST_FUNCTION = 60
FORBIDDEN_WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.])(/wor[k]/|/root/|/home/\w)")
#: who may read the clock: what starts something (views, tasks, commands, processes); all else is told the time
CLOCK_READERS = re.compile(
    r"^apps/(core/(clock|health|metrics|logging|middleware)|.*/tasks|.*/management/.*|(dashboard|portal|api|simulator)/.*"
    r"|.*/(doors|admin|administration|consumers|polling|models))\.py$"
)


def python_files(*folders: str) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "migrations" not in path.parts and "__pycache__" not in path.parts
    ]


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def test_ruff_finds_nothing() -> None:
    run(sys.executable, "-m", "ruff", "check", ".")


def test_everything_is_formatted() -> None:
    run(sys.executable, "-m", "ruff", "format", "--check", ".")


def test_types_agree() -> None:
    run(sys.executable, "-m", "mypy", "apps", "controltower")


def test_imports_go_down_only() -> None:
    run(sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())")


def floors() -> dict[str, int]:
    """app -> floor, 0 at the bottom, as pyproject.toml says."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    return {
        app.strip().removeprefix("apps."): number
        for number, layer in enumerate(reversed(contract["layers"]))
        for app in layer.split("|")
    }


def test_every_app_has_a_floor() -> None:
    ours = {path.parent.name for path in (ROOT / "apps").glob("*/__init__.py")}
    assert ours == set(floors())


def test_foreign_keys_go_down_only() -> None:
    floor = floors()
    wrong = [
        f"{model._meta.label}.{field.name} points up to {field.related_model._meta.label}"
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in floor
        for field in model._meta.get_fields()
        if getattr(field, "remote_field", None) and not field.auto_created
        if (target := getattr(field.related_model, "_meta", None)) and target.app_label in floor
        if target.app_label != model._meta.app_label and floor[target.app_label] >= floor[model._meta.app_label]
    ]
    assert not wrong, "\n".join(wrong)


def test_files_stay_small() -> None:
    sizes = [(len(path.read_text().splitlines()), path) for path in python_files("apps", "controltower")]
    tests = [(len(path.read_text().splitlines()), path) for path in python_files("tests")]
    wrong = [(lines, path) for lines, path in sizes if lines > LONGEST_FILE]
    wrong += [(lines, path) for lines, path in tests if lines > LONGEST_TEST_FILE]
    assert not wrong, "\n".join(f"{path.relative_to(ROOT)} has {lines} lines" for lines, path in wrong)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_functions_stay_small() -> None:
    wrong = []
    for path in python_files("apps", "controltower"):
        for function in functions(path):
            first = function.body[0]
            is_documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            docstring = (first.end_lineno or 0) - first.lineno + 1 if is_documented else 0
            lines = (function.end_lineno or 0) - function.lineno + 1 - docstring
            if lines > LONGEST_FUNCTION:
                wrong.append(f"{path.relative_to(ROOT)}:{function.lineno} {function.name} has {lines} lines")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["services.py", "utils.py", "helpers.py", "signals.py"])
def test_no_file_is_called_anything(name: str) -> None:
    assert not [path for path in python_files("apps", "controltower") if path.name == name]


def test_signals_steer_nothing() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in python_files("apps")
        if re.search(r"django\.db\.models\.signals|django\.dispatch", path.read_text())
    ]
    assert not wrong, wrong


def test_nothing_is_left_for_later_and_no_machine_is_named() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for path in python_files("apps", "controltower", "benchmarks")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FORBIDDEN_WORDS.search(line) or MACHINE_PATHS.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_only_contracts_leave_methods_to_others() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in python_files("apps", "controltower")
        if "raise NotImplementedError" in path.read_text() and path.name != "contract.py"
    ]
    assert not wrong, wrong


def test_only_what_starts_something_reads_the_clock() -> None:
    wrong = []
    for path in python_files("apps"):
        name = str(path.relative_to(ROOT))
        if CLOCK_READERS.match(name):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "timezone.now",
                "datetime.now",
                "datetime.utcnow",
                "datetime.datetime.now",
                "date.today",
                "clock.now",
                "time.time",
            }:
                wrong.append(f"{name}:{node.lineno} {ast.unparse(node.func)}()")
    assert not wrong, "\n".join(wrong)


def test_every_template_is_used() -> None:
    texts = [path.read_text() for path in (ROOT / "templates").rglob("*.html")]
    texts += [path.read_text() for path in python_files("apps", "controltower")]
    everything = "\n".join(texts)
    by_django = {"400.html", "403.html", "403_csrf.html", "404.html", "500.html"}
    unused = [
        name
        for path in sorted((ROOT / "templates").rglob("*"))
        if path.is_file() and (name := str(path.relative_to(ROOT / "templates"))) not in by_django
        if name not in everything
    ]
    assert not unused, unused


def test_every_scheduled_task_exists_and_every_task_has_a_name_and_a_queue() -> None:
    current_app.loader.import_default_modules()
    ours = {name for name, task in current_app.tasks.items() if task.__module__.startswith("apps.")}
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert scheduled <= ours, f"nobody wrote {sorted(scheduled - ours)}"
    for name in ours:
        module = current_app.tasks[name].__module__.split(".")[1]
        assert name.startswith(f"{module}."), f"{name} is a task of apps.{module}: name it {module}.<what it does>"
        assert current_app.amqp.router.route({}, name)["queue"].name in {"ingest", "assess", "notify"}
