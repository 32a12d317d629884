"""Two processes, each with threads and forks, mix writes of the engine and sessions of SQLAlchemy on one store: every row
that was acknowledged is there, no other is, and the database is whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

from sqlalchemy import Column, Integer, String, func, select

from cacheness import Cache
from cacheness.custom_metadata import CustomMetadataBase, custom_metadata_model
from cacheness.metadata import Base

THREADS, ROUNDS, FORKS = 3, 40, 6


@custom_metadata_model("stress")
class Stress(Base, CustomMetadataBase):
    __tablename__ = "custom_stress"
    writer = Column(String, index=True)
    number = Column(Integer)


def write(cache: Cache, writer: str, rounds: int) -> None:
    """Writes entries with a row each, adds a row to each in a session, and removes every fourth."""
    chance = random.Random(writer)
    for number in range(rounds):
        payload = b"x" * chance.choice((100, 50_000))
        cache.put(payload, writer=writer, number=number, custom_metadata=Stress(writer=writer, number=number))
        key = cache.cache_key(writer=writer, number=number)
        with cache.session() as session:
            session.add(Stress(writer=writer, number=-number, cache_key=key))
            session.flush()
            assert session.scalar(select(func.count()).where(Stress.cache_key == key)) == 2
            with session.begin_nested() as nested:
                session.add(Stress(writer=writer, number=10**6, cache_key=key))
                session.flush()
                nested.rollback()
            session.commit()
        if number % 4 == 3:
            assert cache.invalidate(writer=writer, number=number)
        elif chance.random() < 0.2:
            assert cache.get(writer=writer, number=number) == payload


def work(directory: str, name: str) -> None:
    """What one process does."""
    cache = Cache(directory)
    # Modules that a thread imports, and values that it makes once for the process, while another one forks, stay half made
    # in the child: that is so with any library, and not what is tested here.
    write(cache, f"{name} first", 4)
    errors: list[BaseException] = []

    def run(writer: str) -> None:
        try:
            write(cache, writer, ROUNDS)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run, args=[f"{name} thread {i}"]) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    children = []
    for i in range(FORKS):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                write(cache, f"{name} fork {i}", 8)
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    for thread in threads:
        thread.join()
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    cache.close()
    assert not errors, errors
    assert codes == [0] * FORKS, codes


def expected() -> dict[str, list[int]]:
    def numbers(rounds: int) -> list[int]:
        kept = [number for number in range(rounds) if number % 4 != 3]
        return sorted([*kept, *(-number for number in kept)])

    writers = {f"{name} thread {i}": numbers(ROUNDS) for name in "ab" for i in range(THREADS)}
    writers |= {f"{name} first": numbers(4) for name in "ab"}
    return writers | {f"{name} fork {i}": numbers(8) for name in "ab" for i in range(FORKS)}


def test_two_processes_with_threads_and_forks(tmp_path: Path) -> None:
    directory = str(tmp_path / "cache")
    command = [sys.executable, str(Path(__file__)), directory]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen([*command, name], env=environment, stderr=subprocess.PIPE, text=True) for name in "ab"
    ]
    for process in processes:
        _, said = process.communicate(timeout=500)
        assert process.returncode == 0, said
    with Cache(directory) as cache:
        found: dict[str, list[int]] = {}
        for row in cache.query_custom("stress"):
            found.setdefault(row.writer, []).append(row.number)
        assert {writer: sorted(numbers) for writer, numbers in found.items()} == expected()
        with cache.session() as session:
            raw = session.connection().exec_driver_sql
            assert raw("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert raw("PRAGMA foreign_key_check").fetchall() == []
        assert cache.verify_integrity()["valid"]
        assert len(cache) == sum(len(numbers) for numbers in expected().values()) // 2


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2])
