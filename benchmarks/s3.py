"""An array in S3, through cacheness and through boto3's transfer manager, to the same server, in turns.

usage: python benchmarks/s3.py [--megabytes N] [--repeat N] [--server URL BUCKET ACCESS_KEY SECRET_KEY]

Without ``--server`` it starts the one of the tests (``cargo build --example s3_server``), which takes CPU of this
machine too: ratios within one run mean something, times do not.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
from boto3.s3.transfer import TransferConfig

from cacheness import CacheConfig, cacheness
from cacheness.config import CacheBlobConfig

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/cacheness-build/target"))


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def compare(server: list[str], megabytes: int, repeat: int) -> None:
    """Prints a table of medians."""
    endpoint, bucket, access_key, secret_key = server
    value = np.random.default_rng(1).integers(0, 256, megabytes * 10**6, dtype=np.uint8)
    raw = value.tobytes()
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )
    # The same parts, and as many at the same time.
    transfer = TransferConfig(multipart_chunksize=8 << 20, max_concurrency=8)
    with tempfile.TemporaryDirectory() as place:
        blob = CacheBlobConfig(
            backend="s3",
            bucket=bucket,
            prefix="bench/",
            endpoint_url=endpoint,
            access_key=access_key,
            secret_key=secret_key,
            allow_local_index=True,
        )
        cache = cacheness(CacheConfig(cache_dir=place, blob=blob))
        puts: dict[str, list[float]] = {"cacheness": [], "boto3": []}
        gets: dict[str, list[float]] = {"cacheness": [], "boto3": []}
        for turn in range(repeat + 1):
            times = {
                "boto3": (
                    timed(lambda: client.upload_fileobj(io.BytesIO(raw), bucket, "peer", Config=transfer)),
                    timed(lambda: client.download_fileobj(bucket, "peer", io.BytesIO(), Config=transfer)),
                ),
                "cacheness": (timed(lambda: cache.put(value, run=1)), timed(lambda: cache.get(run=1))),
            }
            # The first turn connects.
            for name, (put, get) in times.items() if turn else ():
                puts[name].append(put)
                gets[name].append(get)
        cache.close()
        print(f"| {megabytes} MB, random | cacheness, ms | boto3, ms | speed, of boto3's |\n|---|---|---|---|")
        for work, found in (("put", puts), ("get", gets)):
            ours, peer = (statistics.median(found[name]) for name in ("cacheness", "boto3"))
            print(f"| {work} | {ours:.0f} | {peer:.0f} | {peer / ours:.2f} |")


def main() -> None:
    """Parses the arguments, and starts a server if there is none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--server", nargs=4, metavar=("URL", "BUCKET", "ACCESS_KEY", "SECRET_KEY"))
    parser.add_argument("--profile", default="release", help="of the server that is started")
    given = parser.parse_args()
    if given.server:
        return compare(given.server, given.megabytes, given.repeat)
    built = TARGET / given.profile / "examples" / "s3_server"
    if not built.exists():
        sys.exit(f"{built} is not there: cargo build --workspace --exclude cacheness-python --example s3_server")
    with subprocess.Popen([built], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        compare(server.stdout.readline().split(), given.megabytes, given.repeat)
        server.stdin.close()
    return None


if __name__ == "__main__":
    main()
