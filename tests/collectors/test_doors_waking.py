"""The wake-up: at once, at most every interval, never in the way of a request."""

from __future__ import annotations

import threading
import time

from apps.collectors.waking import Waker


def wait_for(condition: threading.Event) -> None:
    assert condition.wait(5), "no wake-up was sent"


def test_it_is_sent_at_once_and_then_at_most_every_interval() -> None:
    sent: list[float] = []
    first, second = threading.Event(), threading.Event()

    def send() -> None:
        sent.append(time.monotonic())
        (second if first.is_set() else first).set()

    waker = Waker(send, interval=0.3)
    waker.wake()
    wait_for(first)
    for _ in range(1_000):
        waker.wake()
    assert len(sent) == 1
    wait_for(second)
    assert sent[1] - sent[0] >= 0.29
    time.sleep(0.05)
    assert len(sent) == 2


def test_a_broker_that_hangs_does_not_hold_the_request() -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(10)

    waker = Waker(hang, interval=0)
    started = time.monotonic()
    for _ in range(1_000):
        waker.wake()
    assert time.monotonic() - started < 1
    release.set()


def test_a_broker_that_fails_is_left_alone_for_a_while_and_then_told() -> None:
    calls: list[float] = []
    done = threading.Event()

    def send() -> None:
        calls.append(time.monotonic())
        if len(calls) < 3:
            raise OSError("connection refused")
        done.set()

    waker = Waker(send, interval=0, pause=0.1)
    waker.wake()
    wait_for(done)
    assert len(calls) == 3
    assert calls[1] - calls[0] >= 0.09
