"""First steps with an installed wheel; `scripts/wheel.sh` runs this outside the checkout."""

from __future__ import annotations

import importlib.util
import re
import runpy
import shutil
import sys
from decimal import Decimal
from pathlib import Path

import cacheness
from cacheness import BlobStore, cached


class Model:
    """A user-defined class, which only a pickle can store."""

    def __init__(self, depth: int) -> None:
        self.depth = depth


def first_steps() -> None:
    """Put, get, decorate, list, with nothing but the standard library beside the package."""
    assert not any(shutil.which(tool) for tool in ("cargo", "rustc", "cmake", "cc")), "the PATH is not a user's"
    plain = {"accuracy": Decimal("0.95"), "tags": ("a", "b"), "big": 2**70}
    with cacheness.cacheness("first_cache") as cache:
        cache.put(plain, metadata={"stage": "test"}, model="ridge", fold=3)
        assert cache.get(fold=3, model="ridge") == plain
        cache.put(Model(7), model="object")
        assert cache.get(model="object").depth == 7

        calls = []

        @cached(cache_instance=cache)
        def slow(number: int) -> int:
            calls.append(number)
            return number**2

        assert [slow(4), slow(4)] == [16, 16]
        assert calls == [4]
        assert len(cache.list_entries(include_metadata=True)) == 3
    with cacheness.cacheness("first_cache") as cache:
        assert cache.get(fold=3, model="ridge") == plain
    with BlobStore("first_store") as store:
        store.put(b"\0" * 100_000, key="zeros")
        assert store.get("zeros") == b"\0" * 100_000


def readme() -> None:
    """Run the README's Python blocks, from the top."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", Path("README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert blocks
    program = Path("readme.py")
    program.write_text("\n".join(blocks), encoding="utf-8")
    runpy.run_path(str(program), run_name="__main__")


def main() -> None:
    """Run what the installed packages allow."""
    assert "site-packages" in str(Path(cacheness.__file__).resolve()), cacheness.__file__
    first_steps()
    if sys.argv[1]:
        readme()
    else:
        assert importlib.util.find_spec("numpy") is None, "the environment is not empty"
    print(f"cacheness {cacheness.__version__} works on {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
