"""Prime gaps that a team computes once: the same program with a cache in a directory, or on two servers that all share.

Nothing but the environment decides. Without it, everything is in the directory. With it, entries are in PostgreSQL and
large payloads in S3, and what one machine has computed, every other one finds:

    TEAM_CACHE_DATABASE=postgresql://me:secret@db.example/cache?sslmode=verify-full
    TEAM_CACHE_BUCKET=s3://team-cache/primes/v1          credentials: docs/s3.md
    TEAM_CACHE_KEY=/secure/team_cache_key.bin            the key that signs the entries, the same on all machines

A program in Rust, examples/share_team_cache, uses the same entries.

Run it: python examples/team_cache.py [DIRECTORY]
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

from cacheness import Cache, CacheConfig, SecurityConfig, cached
from cacheness.config import CacheBlobConfig, CacheMetadataConfig

BLOCK = 2_000_000


def open_cache(directory: str) -> Cache:
    """The cache that the environment names."""
    config = CacheConfig(cache_dir=directory)
    if database := os.environ.get("TEAM_CACHE_DATABASE"):
        config = CacheConfig(
            cache_dir=directory,
            metadata=CacheMetadataConfig(
                metadata_backend="postgresql", metadata_backend_options={"connection_url": database}
            ),
            blob=CacheBlobConfig(backend=os.environ["TEAM_CACHE_BUCKET"]),
            security=SecurityConfig(signing_key_file=os.environ["TEAM_CACHE_KEY"]),
        )
    return Cache(config)


def sieve(first: int, last: int) -> np.ndarray:
    """The primes from ``first`` up to ``last``."""
    is_prime = np.ones(last, dtype=bool)
    is_prime[:2] = False
    for number in range(2, int(last**0.5) + 1):
        if is_prime[number]:
            is_prime[number * number :: number] = False
    return np.flatnonzero(is_prime[first:]) + first


def main() -> None:
    """Looks at some blocks of numbers."""
    cache = open_cache(sys.argv[1] if len(sys.argv) > 1 else "./team_cache")
    computed = []

    # Of all processes on all machines that ask for a block at once, one computes it, and the others wait.
    @cached(cache_instance=cache, key_prefix="primes")
    def primes(block: int) -> np.ndarray:
        computed.append(block)
        return sieve(block * BLOCK, (block + 1) * BLOCK)

    start = time.perf_counter()
    longest = 0
    for block in range(4):
        found = primes(block)
        longest = max(longest, int(np.diff(found).max()))
        # Small, and kept in the row of its entry.
        cache.put({"primes": len(found), "largest": int(found[-1])}, block=block, description="what a block has")
    print(f"computed {len(computed)} of 4 blocks, {(time.perf_counter() - start) * 1e3:.0f} ms")
    print(f"the longest gap is {longest}")
    for block in range(4):
        print(f"  block {block}: {cache.get(block=block)}")
    # A database answers for the whole team.
    objects = sum(entry.get("s3_key") is not None for entry in cache.list_entries())
    print(f"{cache.count()} entries, {objects} objects in S3")
    print(f"connections: {cache.get_pool_stats() or 'none'}")
    cache.close()


if __name__ == "__main__":
    main()
