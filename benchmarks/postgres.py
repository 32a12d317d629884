"""A decorated function and small values in PostgreSQL, beside one bare statement of psycopg, in turns.

The server is that of ``CACHENESS_TEST_POSTGRES_URL``; ``scripts/postgres.py python benchmarks/postgres.py`` starts one.
Its disk is not waited for: an entry and a bare row wait for it alike, and much longer than what is compared takes.

usage: python benchmarks/postgres.py [--calls N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import make_conninfo

from cacheness import Cache, CacheConfig, CacheMetadataConfig, cached

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = 500
VALUE = {"loss": 0.125, "accuracy": 0.9375, "model": "ridge", "tags": ["a", "baseline"]}
#: As large as the payload of the value.
PAYLOAD = b"7" * 100


def medians(calls: int, ways: dict[str, Callable[[int], Any]]) -> dict[str, float]:
    """Microseconds of one call of each way; the ways take turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(-50, calls):
        for name, way in ways.items():
            start = time.perf_counter()
            way(turn % KEYS)
            if turn >= 0:
                times[name].append((time.perf_counter() - start) * 1e6)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=5000)
    given = parser.parse_args()
    address = os.environ["CACHENESS_TEST_POSTGRES_URL"]
    separator = "&" if "?" in address else "?"
    address = f"{address}{separator}options=-c%20synchronous_commit%3Doff"
    schema = f"bench_{os.getpid()}"
    config = CacheMetadataConfig(
        metadata_backend="postgresql", metadata_backend_options={"connection_url": address, "schema": schema}
    )
    with (
        tempfile.TemporaryDirectory() as place,
        Cache(CacheConfig(cache_dir=place, metadata=config)) as cache,
        psycopg.connect(make_conninfo(address), autocommit=True) as bare,
    ):

        @cached(cache_instance=cache)
        def compute(_: int) -> dict[str, Any]:
            return VALUE

        try:
            bare.execute(f"CREATE TABLE {schema}.bare (key text PRIMARY KEY, payload bytea NOT NULL)")
            insert = (
                f"INSERT INTO {schema}.bare VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET payload = excluded.payload"
            )
            select = f"SELECT payload FROM {schema}.bare WHERE key = %s"

            def put_bare(i: int) -> None:
                bare.execute(insert, (f"{i:016x}", PAYLOAD), prepare=True)

            for i in range(KEYS):
                put_bare(i)
                cache.put(VALUE, i=i)
                compute(i)
            found = medians(
                given.calls,
                {
                    "SELECT": lambda i: bare.execute(select, (f"{i:016x}",), prepare=True).fetchone(),
                    "hit": compute,
                    "get": lambda i: cache.get(i=i),
                    "INSERT": put_bare,
                    "put": lambda i: cache.put(VALUE, i=i),
                },
            )
        finally:
            # It writes down what was read.
            cache.close()
            bare.execute(f'DROP SCHEMA "{schema}" CASCADE')
    print("| small values | cacheness, µs | psycopg, µs | ratio | target |\n|---|---|---|---|---|")
    for name, ours, peer, target in (
        ("hit of a decorated function", "hit", "SELECT", "1.5"),
        ("get", "get", "SELECT", ""),
        ("put", "put", "INSERT", ""),
    ):
        print(f"| {name} | {found[ours]:.0f} | {found[peer]:.0f} | {found[ours] / found[peer]:.2f} | {target} |")


if __name__ == "__main__":
    main()
