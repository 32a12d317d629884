"""Artifacts of a pipeline by content: what is equal is stored once, and a name says what a run used.

Run it: python examples/pipeline_artifacts.py [DIRECTORY]
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from cacheness import BlobStore


def extract(day: int) -> pd.DataFrame:
    """The raw data of a day; days 0 and 1 are the same."""
    random = np.random.default_rng(max(day, 1))
    return pd.DataFrame({"sensor": random.integers(0, 20, 50_000), "value": random.normal(size=50_000)})


def main() -> None:
    """Run the pipeline for three days and look at what is kept."""
    directory = sys.argv[1] if len(sys.argv) > 1 else "./artifacts"
    with BlobStore(directory, content_addressable=True) as artifacts:
        runs = {}
        for day in range(3):
            raw = extract(day)
            # Without a name, the key is the hash of the content.
            raw_key = artifacts.put(raw, metadata={"stage": "raw"})
            daily = raw.groupby("sensor")["value"].agg(["mean", "std"])
            daily_key = artifacts.put(daily, metadata={"stage": "daily", "from": raw_key})
            runs[day] = (raw_key, daily_key)
            print(f"day {day}: raw {raw_key[:8]}…, daily {daily_key[:8]}…")
        assert runs[0] == runs[1] != runs[2]

        daily_keys = artifacts.list(metadata_filter={"stage": "daily"})
        print(f"{len(artifacts.list())} artifacts for {len(runs)} days; {len(daily_keys)} of them daily tables")
        source = (artifacts.get_metadata(runs[2][1]) or {})["metadata"]["from"]
        assert source == runs[2][0]
        table = artifacts.get(source)
        assert table is not None
        pd.testing.assert_frame_equal(table, extract(2))


if __name__ == "__main__":
    main()
