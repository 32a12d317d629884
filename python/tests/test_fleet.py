"""A small fleet of processes on PostgreSQL and S3, some of which are killed: see ``benchmarks/fleet.py``."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psycopg
import pytest
from soak import times

if TYPE_CHECKING:
    from types import ModuleType

ACCESS = {"access_key": "tester", "secret_key": "hush-hush"}


@pytest.fixture(scope="module")
def fleet() -> ModuleType:
    """The benchmark as a module."""
    path = Path(__file__).parents[2] / "benchmarks" / "fleet.py"
    spec = importlib.util.spec_from_file_location("fleet", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fleet"] = module
    spec.loader.exec_module(module)
    return module


def test_killed_workers_lose_nothing_and_repeat_nothing(
    tmp_path: Path, schema: str, endpoint: str, fleet: ModuleType
) -> None:
    """A counted function runs once per key among runs that returned; every acknowledged value reads back; every object that
    an entry names is there."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS["access_key"],
        aws_secret_access_key=ACCESS["secret_key"],
    )
    client.create_bucket(Bucket="fleet")
    for seed in range(times(1)):
        place = tmp_path / str(seed)
        place.mkdir()
        plan = fleet.Plan(
            postgres=os.environ["CACHENESS_TEST_POSTGRES_URL"],
            schema=f"{schema}_{seed}" if seed else schema,
            bucket=fleet.Bucket(endpoint, "fleet", prefix=f"seed-{seed}/", **ACCESS),
            directory=str(place),
            seed=seed,
            workers=3,
            operations=150,
            computed=60,
            own=8,
        )
        workers = fleet.Fleet(plan)
        try:
            workers.prepare()
            workers.run(kills=5)
            found = workers.check()
        finally:
            workers.end()
            with psycopg.connect(plan.postgres, autocommit=True) as connection:
                connection.execute(f'DROP SCHEMA IF EXISTS "{plan.schema}" CASCADE')
        assert found["kills"] == 5, found
        assert found["keys"] > 5, found
        assert found["named"] > 3, found
        assert all(fleet.Told.read(plan.journal(slot)).operations == 150 for slot in range(3))
