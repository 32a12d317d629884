"""The contract of metadata backends."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

from ..cache import Cache
from ..config import CacheConfig
from ..storage import BlobStore
from ._suite import Suite, check, made

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ..storage.backends.base import MetadataBackend

__all__ = ["MetadataBackendSuite"]

#: Keys in the order of their code points, which is not that of UTF-16.
KEYS = [
    "!",
    "0123456789abcdef",
    "A name with spaces",
    "a",
    "a%",
    "a/b",
    "a:b",
    "a_",
    "ab",
    "k" * 500,
    "naïve/Größe",
    "~cacheness/blob/blobs/ab/cd-0123.npy",
    "日本",
    "\uffee",
    "\U0001f600",
]
TEXTS = ["", "plain", "naïve 日本 \U0001f600", 'with "quotes" and \\', "line\nbreak\0NUL", "x" * 100_000]


def entry(key: str, revision: str = "0", **fields: Any) -> dict[str, Any]:
    """An entry as the engine writes it."""
    made = {
        "cache_key": key,
        "revision": revision,
        "place": 2**62,
        "created_at": "2026-11-20T12:00:00.000001+00:00",
        "file_size": 5,
        "pinned": True,
    }
    return made | fields


class MetadataBackendSuite(Suite):
    """What a store relies on in a :class:`~cacheness.MetadataBackend`."""

    def make(self) -> MetadataBackend:
        """A backend without entries, for one test."""
        raise NotImplementedError(f"{type(self).__name__} has to override make()")

    def reopen(self, backend: MetadataBackend) -> MetadataBackend | None:  # noqa: ARG002 - for those who override it
        """Another object on the data of ``backend``; ``None`` if the data belongs to the object."""
        return None

    def _made(self) -> AbstractContextManager[MetadataBackend]:
        return made(self.make())

    def test_a_missing_entry_is_none(self) -> None:
        with self._made() as backend:
            for key in KEYS:
                check(backend.get_entry(key) is None, f"there is no entry {key!r}")
                check(backend.remove_entry(key) is False, f"there is no entry {key!r} to remove")
            check(list(backend.list_entries()) == [], "there are no entries")
            check(backend.scan_entries() == [], "there are no entries")

    def test_entries_come_back_as_they_were_given(self) -> None:
        with self._made() as backend:
            given = {key: entry(key, text=text) for key, text in zip(KEYS, TEXTS * 3, strict=False)}
            values = [None, True, -(2**63), 2**63 - 1, 1.5, 1e-300, [], {}, [1, [2, {"a": None}]], {"b": {"c": [""]}}]
            given |= {f"value {n}": entry(f"value {n}", value=value) for n, value in enumerate(values)}
            for key, data in given.items():
                backend.put_entry(key, data)
            for key, data in given.items():
                found = backend.get_entry(key)
                check(found is not None, f"the entry {key!r} is lost")
                assert found is not None
                check({name: found.get(name, "lost") for name in data} == data, f"{found!r} is not {data!r}")
                check(type(found["pinned"]) is bool, "a boolean is no number")
            listed = {found["cache_key"] for found in backend.list_entries()}
            check(listed == given.keys(), f"not listed: {sorted(given.keys() - listed)}")

    def test_what_is_returned_is_the_callers_own(self) -> None:
        with self._made() as backend:
            data = entry("k", value={"a": [1]})
            backend.put_entry("k", data)
            data["value"]["a"].append(2)
            found = backend.get_entry("k")
            assert found is not None
            check(found["value"] == {"a": [1]}, "a change of the given dictionary reached the store")
            found["value"]["a"].append(3)
            check((backend.get_entry("k") or {})["value"] == {"a": [1]}, "a change of a result reached the store")

    def test_an_entry_is_replaced_and_removed(self) -> None:
        with self._made() as backend:
            backend.put_entry("k", entry("k", "1", description="old"))
            backend.put_entry("k", entry("k", "2"))
            found = backend.get_entry("k")
            assert found is not None
            check(found["revision"] == "2" and "description" not in found, "nothing of the old entry stays")
            check(len(list(backend.list_entries())) == 1, "it is one entry")
            check(backend.remove_entry("k") is True, "it was there")
            check(backend.remove_entry("k") is False, "it was removed")
            check(backend.get_entry("k") is None, "it was removed")

    def test_many_entries_are_read_at_once(self) -> None:
        with self._made() as backend:
            for key in KEYS[::2]:
                backend.put_entry(key, entry(key))
            wanted = [*KEYS, KEYS[0], "missing", *reversed(KEYS)]
            found = backend.get_entries(wanted)
            check(len(found) == len(wanted), "there is one result for each key")
            for key, data in zip(wanted, found, strict=True):
                check((None if data is None else data["cache_key"]) == (key if key in KEYS[::2] else None), key)
            check(backend.get_entries([]) == [], "no keys, no results")

    def test_pages_are_in_the_order_of_the_keys(self) -> None:
        with self._made() as backend:
            for key in KEYS[::-3] + KEYS[::-1]:
                backend.put_entry(key, entry(key))
            for prefix in ("", "a", "a/", "~cacheness/", "日", "zz", "a%", "a_"):
                wanted = [key for key in sorted(KEYS) if key.startswith(prefix)]
                for limit in (1, 2, 7, 100):
                    found: list[str] = []
                    after = None
                    while page := backend.scan_entries(prefix, after, limit):
                        check(len(page) <= limit, f"a page of {limit} has {len(page)} entries")
                        found += [data["cache_key"] for data in page]
                        after = found[-1]
                        check(len(found) <= len(wanted), f"the pages of {prefix!r} do not end: {found}")
                        if len(page) < limit:
                            break
                    check(found == wanted, f"the pages of {prefix!r} have {found}, not {wanted}")
            check(backend.scan_entries("a", "b", 10) == [], "a page begins after its key")
            check(backend.scan_entries("b", "a", 10) == [], "a page has keys with the prefix only")

    def test_a_commit_is_made_whole_or_not_at_all(self) -> None:
        with self._made() as backend:
            changes: dict[str, dict[str, Any] | None] = {"a": entry("a", "1"), "b": entry("b", "1")}
            check(backend.commit(changes, {"a": None, "b": None}) is True, "both are new")
            second: dict[str, dict[str, Any] | None] = {"a": entry("a", "2"), "c": entry("c", "2"), "b": None}
            wrong: list[dict[str, str | None]] = [
                {"a": "1", "b": "1", "c": "1"},
                {"a": "2", "b": "1", "c": None},
                {"a": None, "b": "1", "c": None},
                {"a": "1", "b": None, "c": None},
                {"a": "1", "b": "1", "c": None, "d": "1"},
            ]
            for expected in wrong:
                check(backend.commit(second, expected) is False, f"{expected} is not so")
                kept = {data["cache_key"]: data["revision"] for data in backend.list_entries()}
                check(kept == {"a": "1", "b": "1"}, f"a refused commit left {kept}")
            check(backend.commit(second, {"a": "1", "b": "1", "c": None, "d": None}) is True, "all is as expected")
            kept = {data["cache_key"]: data["revision"] for data in backend.list_entries()}
            check(kept == {"a": "2", "c": "2"}, f"the commit left {kept}")
            check(backend.commit({}, {"a": "2"}) is True and backend.commit({}, {"a": "1"}) is False, "only compared")
            check(backend.commit({"x": None}, {"x": None}) is True, "removing what is not there is no error")

    def test_no_commit_of_a_thread_is_lost(self) -> None:
        with self._made() as backend:
            other = self.reopen(backend) or backend
            failures: list[BaseException] = []

            def add(backend: MetadataBackend, thread: int) -> None:
                try:
                    for number in range(20):
                        while True:
                            former = backend.get_entry("counter")
                            count = 0 if former is None else former["file_size"]
                            changed = entry("counter", f"{thread}-{number}", file_size=count + 1)
                            expected = {"counter": None if former is None else former["revision"]}
                            if backend.commit({"counter": changed}, expected):
                                break
                except BaseException as error:  # noqa: BLE001 - it is raised below
                    failures.append(error)

            threads = [threading.Thread(target=add, args=((backend, other)[n % 2], n)) for n in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if other is not backend:
                other.close()
            if failures:
                raise failures[0]
            count = (backend.get_entry("counter") or {})["file_size"]
            check(count == 120, f"{120 - count} of 120 commits are lost")

    def test_another_object_sees_the_data(self) -> None:
        with self._made() as backend:
            other = self.reopen(backend)
            if other is None:
                return
            backend.put_entry("k", entry("k", "1"))
            check((other.get_entry("k") or {})["revision"] == "1", "the other object sees an entry")
            check(other.commit({"k": entry("k", "2")}, {"k": "1"}) is True, "the other object commits")
            check(backend.commit({"k": entry("k", "3")}, {"k": "1"}) is False, "the entry has changed meanwhile")
            other.close()
            check((backend.get_entry("k") or {})["revision"] == "2", "closing one does not close the other")

    def test_a_cache_agrees_with_a_model(self) -> None:
        """Random operations through the engine, beside a dictionary."""
        chance = random.Random(2)  # noqa: S311 - the same numbers every time
        backend = self.make()
        config = CacheConfig(cache_dir=":memory:", metadata_backend=backend, inline_threshold_bytes=1000)
        with Cache(config=config) as cache:
            model: dict[int, tuple[Any, int]] = {}
            for step in range(150):
                number = chance.randrange(12)
                action = chance.choice(("put", "put", "get", "delete", "pin", "find", "list"))
                if action == "put":
                    value = chance.choice((step, "text" * chance.randrange(400), list(range(chance.randrange(9)))))
                    cache.put(value, number=number, metadata={"step": step, "even": step % 2 == 0})
                    model[number] = (value, step)
                elif action == "get":
                    check(cache.get(number=number) == model.get(number, (None,))[0], f"step {step}: get")
                elif action == "delete":
                    check(cache.invalidate(number=number) == (number in model), f"step {step}: delete")
                    model.pop(number, None)
                elif action == "pin" and number in model:
                    cache.pin(number=number)
                elif action == "find":
                    listed = cache.list_entries(include_metadata=True, where={"step": {"$gte": step // 2}})
                    found = {data["metadata"]["step"] for data in listed}
                    wanted = {at for _, at in model.values() if at >= step // 2}
                    check(found == wanted, f"step {step}: {found} is not {wanted}")
                elif action == "list":
                    check(cache.get_stats()["total_entries"] == len(model), f"step {step}: totals")
                    check(cache.count(where={"even": True}) == sum(at % 2 == 0 for _, at in model.values()), "count")
            check(cache.clear() == len(model), "clear")
            check(cache.get_stats()["total_entries"] == 0 and cache.list_entries() == [], "nothing is left")

    def test_a_store_is_opened_again(self) -> None:
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            backend = self.make()
            second = self.reopen(backend)
            with BlobStore(directory, backend) as store:
                store.put({"a": 1}, key="small")
                store.put(b"x" * 200_000, key="large", metadata={"tag": "x"})
            if second is None:
                return
            with BlobStore(directory, second) as store:
                check(store.get("small") == {"a": 1} and store.get("large") == b"x" * 200_000, "both values are there")
                check(store.list(metadata_filter={"tag": "x"}) == ["large"], "the metadata is there")
                check(store.verify_integrity("large")["valid"], "the signature holds")
