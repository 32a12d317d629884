"""The dialect `sqlite+cacheness`: SQLAlchemy's own compliance suite for dialects, and engines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine, exc, inspect, text

from cacheness import Cache, _dbapi

SUITE = Path(__file__).with_name("dialect")

#: Tests that use a second schema without asking whether there is one (`schemas` of `dialect_requirements.py`).
WITH_A_SCHEMA = [
    ("ComponentReflectionTestExtra", "test_check_constraint_no_constraint[True"),
    ("ComponentReflectionTestExtra", "test_check_constraint_parenthesized_expressions[True"),
    ("ComponentReflectionTestExtra", "test_check_constraint_standalone[True"),
    ("ComponentReflectionTest", "test_metadata[False-_exclusions_01-True]"),
    ("ComponentReflectionTest", "test_metadata[True-_exclusions_00-True]"),
]


def test_the_compliance_suite_of_sqlalchemy(tmp_path: Path) -> None:
    version = _dbapi.sqlite_version.replace(".", "_")
    left_out = [f"--deselect=compliance.py::{name}_sqlite+cacheness_{version}::{test}" for name, test in WITH_A_SCHEMA]
    command = [sys.executable, "-m", "pytest", "-c", "setup.cfg", "--rootdir", ".", "compliance.py", "-q", "--tb=short"]
    command += ["--dburi", f"sqlite+cacheness:///{tmp_path / 'store'}", *left_out]
    environment = {**os.environ, "PYTHONPATH": str(SUITE)}
    done = subprocess.run(command, cwd=SUITE, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 1000, "most of the suite applies"


def test_a_url_names_the_directory_of_a_cache(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite+cacheness:///{tmp_path / 'cache'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE custom_t (x)"))
    assert inspect(engine).get_table_names() == ["custom_t"], "the tables of the store are not shown"
    assert inspect(engine).has_table("cache_entries")
    engine.dispose()
    with pytest.raises(exc.ArgumentError, match="no directory"):
        create_engine("sqlite+cacheness://")


def test_isolation_levels(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        engine = cache.metadata_backend.engine
        with engine.connect() as connection:
            assert connection.get_isolation_level() == "SERIALIZABLE"
            connection.execute(text("CREATE TABLE custom_t (x)"))
        with engine.connect() as connection:
            assert not inspect(connection).has_table("custom_t"), "it was rolled back"
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CREATE TABLE custom_t (x)"))
        with engine.connect() as connection:
            assert connection.get_isolation_level() == "SERIALIZABLE"
            assert inspect(connection).has_table("custom_t")


def test_an_engine_survives_a_fork(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        engine = cache.metadata_backend.engine
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE custom_t (x)"))
        stop = threading.Event()

        def use() -> None:
            while not stop.is_set():
                with engine.begin() as connection:
                    connection.execute(text("INSERT INTO custom_t VALUES (0)"))

        threads = [threading.Thread(target=use) for _ in range(3)]
        for thread in threads:
            thread.start()
        children = []
        try:
            for _ in range(20):
                pid = os.fork()
                if pid == 0:
                    code = 1
                    try:
                        with engine.begin() as connection:
                            connection.execute(text("INSERT INTO custom_t VALUES (1)"))
                        code = 0
                    finally:
                        os._exit(code)
                children.append(pid)
            codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert codes == [0] * 20
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT sum(x) FROM custom_t")) == 20
            assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
