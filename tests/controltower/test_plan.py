"""What `make run` makes of its environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from controltower.embedded import Cluster
from controltower.home import broker_options, home_of, read_environment, write_environment
from controltower.installation import demo_passwords, hash_of, keys
from controltower.plan import CannotRun, Options, children_of, environment_of, options_from

CLUSTER = Cluster(Path("/var/lib/controltower/postgresql"), Path("/var/lib/controltower/postgresql"), 1)
KEYS = {"SECRET_KEY": "a", "SECRETS_KEYS": "b"}


def options(**environment: str) -> Options:
    return options_from({"CONTROLTOWER_HOME": "/srv/tower", **environment}, uid=1000)


def environment(chosen: Options, **base: str) -> dict[str, str]:
    return environment_of(chosen, KEYS, CLUSTER, "box", base)


def test_root_never_keeps_data_below_a_home_directory() -> None:
    assert home_of({"HOME": "/root"}, uid=0) == Path("/var/lib/controltower")
    assert home_of({"XDG_DATA_HOME": "/data"}, uid=1000) == Path("/data/controltower")


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "0"), ("PORT", "http"), ("PORT", "70000"), ("DEMO", "maybe"), ("WEB_THREADS", "-1")]
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(CannotRun, match=name):
        options(**{name: value})


def test_the_demo_and_a_real_tower_share_no_data() -> None:
    demo, real = options(), options(DEMO="0")
    assert demo.demo
    assert not real.demo
    for name in ("DATABASE_URL", "BROKER_FOLDER"):
        assert environment(demo)[name] != environment(real)[name]
    assert "simulate" in {child.name for child in children_of(demo, {})}
    assert "simulate" not in {child.name for child in children_of(real, {})}


def test_the_application_signs_in_as_the_role_that_owns_nothing() -> None:
    made = environment(options(), DATABASE_URL="postgres://elsewhere/other", PGHOST="elsewhere")
    assert made["DATABASE_URL"].startswith("postgres://controltower_app@/controltower_demo?host=/var/lib/controltower/")


def test_what_the_caller_sets_stays_and_nothing_empty_counts() -> None:
    made = environment(options(PORT="9000"), BROKER_URL="redis://127.0.0.1/0", EMAIL_URL="")
    assert made["BROKER_URL"] == "redis://127.0.0.1/0"
    assert made["EMAIL_URL"] == "filemail:///srv/tower/mail"
    assert made["BASE_URL"] == "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("bind", "address", "host"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000", "box"),
        ("192.0.2.5", "http://192.0.2.5:8000", "192.0.2.5"),
        ("::1", "http://[::1]:8000", "[::1]"),
    ],
)
def test_the_bind_address_is_reachable_by_name(bind: str, address: str, host: str) -> None:
    chosen = options(BIND=bind)
    assert chosen.address == address
    assert host in environment(chosen)["ALLOWED_HOSTS"].split(",")


def test_only_web_processes_pool_connections() -> None:
    pools = {child.name: child.environment.get("DATABASE_POOL") for child in children_of(options(WEB_THREADS="4"), {})}
    assert pools == {"web": "4", "worker": None, "beat": None, "simulate": None}


def test_keys_and_passwords_are_made_once_and_are_private(tmp_path: Path) -> None:
    first = keys(tmp_path)
    assert keys(tmp_path) == first
    passwords = demo_passwords(tmp_path, ["a", "b"])
    assert demo_passwords(tmp_path, ["a", "b"]).read_text() == passwords.read_text()
    write_environment(tmp_path, {"A": "1", "URL": "x=y"})
    assert read_environment(tmp_path) == {"A": "1", "URL": "x=y"}
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_changed_file_changes_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("x")
    before = hash_of([path])
    path.write_text("y")
    assert hash_of([path]) != before


@pytest.mark.parametrize("url", ["filesystem://", "redis://h", "valkey://h", "amqp://h"])
def test_brokers_have_options_of_their_kind(url: str, tmp_path: Path) -> None:
    assert broker_options(url, tmp_path)
    assert not list(tmp_path.iterdir()), "reading settings writes nothing"
