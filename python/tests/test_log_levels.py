"""What is logged, at which level: the table of the guide, as far as other tests of one message do not show it."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from cacheness import Cache


def _said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    assert all(record.name.split(".")[0] == "cacheness" for record in caplog.records)
    return [(record.getMessage(), record.levelno) for record in caplog.records]


def test_nothing_is_said_of_a_hit_a_miss_or_a_put(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "cacheness"), Cache(tmp_path / "cache") as cache:
        for number in range(20):
            cache.put([number] * 50_000, number=number, metadata={"number": number})
            assert cache.get(number=number) == [number] * 50_000
        assert cache.get(number=-1) is None
        assert cache.invalidate(number=3)
        assert cache.touch(number=4)
        assert len(cache.list_entries()) == 19
        assert cache.clear() == 19
    assert _said(caplog) == []


def test_what_dead_processes_left_is_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(1, x=1)
    left = tmp_path / "cache/tmp/0123456789abcdef-0123456789ab.npy"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"half of it")
    long_ago = time.time() - 3600
    os.utime(left, (long_ago, long_ago))
    with caplog.at_level(logging.DEBUG, "cacheness"), Cache(tmp_path / "cache") as cache:
        cache.put("x" * 1_000_000, x=2)
    assert not left.exists()
    [(message, level)] = _said(caplog)
    assert "temporary file" in message
    assert level == logging.INFO


def test_a_key_that_others_can_read_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Cache(tmp_path / "cache") as cache:
        cache.put(1, x=1)
    (tmp_path / "cache/cache_signing_key.bin").chmod(0o644)
    with caplog.at_level(logging.DEBUG, "cacheness"), Cache(tmp_path / "cache") as cache:
        assert cache.get(x=1) == 1
    said = _said(caplog)
    assert [level for _, level in said] == [logging.WARNING]
    assert "cache_signing_key.bin" in said[0][0]


def test_no_message_shows_a_value_a_parameter_or_a_key_of_signatures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "hunter2" + os.urandom(80_000).hex()  # not inline, whatever is done to it
    with caplog.at_level(logging.DEBUG, "cacheness"), Cache(tmp_path / "cache", max_entries=2) as cache:
        for number in range(5):
            cache.put(secret, password="hunter2", number=number, metadata={"token": "hunter2"})
        for blob in (tmp_path / "cache/blobs").rglob("*-*"):
            if blob.is_file():
                blob.write_bytes(b"damaged")
        assert all(cache.get(password="hunter2", number=number) is None for number in range(5))
        key = (tmp_path / "cache/cache_signing_key.bin").read_bytes().hex()
    said = _said(caplog)
    assert {level for _, level in said} == {logging.WARNING}
    assert len(said) >= 2, "an eviction and damage"
    assert not any("hunter2" in message or key in message for message, _ in said)
