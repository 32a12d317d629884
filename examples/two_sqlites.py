"""What Python's sqlite3 does to a store that is open in the same process, shown on a copy of a store.

Run it: python examples/two_sqlites.py [DIRECTORY]
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from cacheness import Cache

#: Whether a lock of another process keeps this one from locking the database for itself.
IS_LOCKED = """
import fcntl, struct, sys
with open(sys.argv[1], "rb+") as file:
    answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
print(struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK)
"""

COUNT = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
print(database.execute("SELECT count(*) FROM cache_entries").fetchone()[0])
database.close()
"""


def in_another_process(program: str, database: Path) -> str:
    """What a program prints about the database."""
    done = subprocess.run([sys.executable, "-c", program, str(database)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    """Copy a store, open the copy, and open its database with sqlite3 beside."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "./two_sqlites")
    with Cache(directory) as cache:
        cache.put("kept", n=0)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "copy")
        shutil.copytree(directory, copy)
        lose(copy)


def lose(store: Path) -> None:
    """Lose entries of a store that nobody else needs."""
    database = store / "cache_metadata.db"
    with Cache(store) as cache:
        cache.put("first", n=1)
        print(f"We have the copy open, with {len(cache)} entries. Locked against others: {locked(database)}.")
        (row,) = cache.query_meta("SELECT count(*) AS n FROM entries")
        print(f"query_meta counts {row['n']}. Locked against others: {locked(database)}.")

        second = sqlite3.connect(database)
        (count,) = second.execute("SELECT count(*) FROM cache_entries").fetchone()
        second.close()
        print(f"sqlite3, in this process, counts {count} and is closed. Locked against others: {locked(database)}.")

        in_another_process(COUNT, database)
        log = "there" if Path(f"{database}-wal").exists() else "deleted"
        print(f"Another process opens and closes the database, as the only one, it believes. Our log is {log}.")

        for n in range(2, 100):
            cache.put("lost", n=n)
        print(f"We put 98 more, without an error, and count {len(cache)}.")
        print(f"Another process counts {in_another_process(COUNT, database)}.")


def locked(database: Path) -> str:
    """Whether other processes see that the database is in use."""
    return "yes" if in_another_process(IS_LOCKED, database) == "True" else "no"


if __name__ == "__main__":
    main()
