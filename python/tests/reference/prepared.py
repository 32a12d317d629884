# ruff: noqa: F401, F403, F405, RUF012 - blocks use the names, whatever they need
"""The names that blocks take for granted. Run before each of them, in a fresh directory."""

import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Boolean, Column, Date, DateTime, Float, Integer, String, Text

from cacheness import *
from cacheness import cacheness
from cacheness.custom_metadata import *
from cacheness.metadata import Base
from cacheness.storage import BlobStore

data = np.arange(10)
model = trained_model = {"weights": [1.0, 2.0]}
frame = new_df = pd.DataFrame({"amount": [1.5, 2.5, 2.5], "shop": ["a", "b", "b"]})
new_data = {"rows": 3}


def process_chunk(i):
    pass


def expensive_computation():
    return 42


def hours(count):
    return count * 3600


class Response:
    """What a web service answers."""

    status_code = 200
    content = b"{}"
    headers = {"content-type": "application/json", "x-ratelimit-remaining": "9"}
    request = SimpleNamespace(headers={"accept": "*/*"})

    def json(self):
        return {"status": "success"}


requests = SimpleNamespace(get=lambda url, params=None: Response())


@custom_metadata_model("experiments")
class ExperimentMetadata(Base, CustomMetadataBase):
    __tablename__ = "custom_ml_experiments"

    experiment_id = Column(String(100), unique=True, index=True)
    experiment_name = Column(String, index=True)
    model_type = Column(String(50), index=True)
    accuracy = Column(Float, index=True)
    epochs = Column(Integer)
    is_production = Column(Boolean, default=False)
    created_by = Column(String)


@custom_metadata_model("performance")
class PerformanceMetadata(Base, CustomMetadataBase):
    __tablename__ = "custom_performance"

    run_id = Column(String(100), index=True)
    training_time_seconds = Column(Float, index=True)
    memory_usage_mb = Column(Float)


MLExperiment = MLExperimentMetadata = Model = ExperimentMetadata
experiment = ExperimentMetadata(experiment_id="exp_000", model_type="xgboost", accuracy=0.95, epochs=10)
performance = PerformanceMetadata(run_id="run_000", training_time_seconds=30.0)

cache = cacheness("prepared")
cache.put(
    model,
    project="fraud",
    model_type="xgboost",
    version="v2.1",
    metadata={
        "accuracy": 0.94,
        "training_time_minutes": 45,
        "author": "ada",
        "environment": "development",
        "config": {"model_type": "xgboost"},
        "validation_passed": False,
        "missing_value_percentage": 60,
    },
)
