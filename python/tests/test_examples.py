"""Every example runs as a program, twice in one directory: the second time it finds what the first one kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# The demo has a run of its own (`make demo`), of which these two are parts.
PARTS_OF_THE_DEMO = {"demo.py", "flight_delays.py", "summaries.py"}
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name not in PARTS_OF_THE_DEMO)
# These show what happens the first time.
ONCE = {"api_caching.py", "checkpoints.py"}


def _run(name: str, directory: Path) -> str:
    command = [sys.executable, str(EXAMPLES / name), str(directory / "store")]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_examples() -> None:
    assert len(NAMES) >= 6


@pytest.mark.parametrize("name", NAMES)
def test_example_runs(name: str, tmp_path: Path) -> None:
    assert _run(name, tmp_path).strip()
    if name not in ONCE:
        assert _run(name, tmp_path).strip()
    assert [path.name for path in tmp_path.iterdir()] == ["store"], "an example leaves nothing but its store"


def test_the_team_cache_is_shared(tmp_path: Path, schema: str, endpoint: str) -> None:
    """A second machine, with a directory of its own, finds in PostgreSQL and S3 what the first one has computed."""
    access = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_REGION": "us-east-1"}
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="tester",
        aws_secret_access_key="hush",
    )
    client.create_bucket(Bucket="team-cache")
    address = os.environ["CACHENESS_TEST_POSTGRES_URL"]
    environment = {
        **os.environ,
        **access,
        "TEAM_CACHE_DATABASE": f"{address}{'&' if '?' in address else '?'}schema={schema}",
        "TEAM_CACHE_BUCKET": f"s3://team-cache/primes/v1?endpoint_url={endpoint}",
        "TEAM_CACHE_KEY": str(tmp_path / "key.bin"),
    }
    for machine, computed in (("one", 4), ("two", 0)):
        command = [sys.executable, str(EXAMPLES / "team_cache.py"), str(tmp_path / machine)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"computed {computed} of 4 blocks"), done.stdout
        assert "4 objects in S3" in done.stdout
