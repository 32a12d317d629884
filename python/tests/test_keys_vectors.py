"""The golden vectors: the package, the plain second implementation and the file agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keys_catalogue
import keys_reference
import pytest

from cacheness import _core

VECTORS = json.loads(keys_reference.VECTORS.read_text())["vectors"]
DESCRIBED = [vector for vector in VECTORS if "params" in vector]
EXPRESSIONS = [vector for vector in VECTORS if "python" in vector]


def _name(vector: dict) -> str:
    return vector["name"]


def test_there_are_enough_vectors() -> None:
    assert len(DESCRIBED) >= 80
    assert len(EXPRESSIONS) >= 40
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)


@pytest.mark.parametrize("vector", DESCRIBED, ids=_name)
def test_second_implementation(vector: dict) -> None:
    assert keys_reference.encode_params(vector["params"]).hex() == vector["encoding"]


@pytest.mark.parametrize("vector", DESCRIBED, ids=_name)
def test_native_values(vector: dict) -> None:
    params = {name: keys_catalogue.build(description) for name, description in vector["params"]}
    assert _core.encode_params(params).hex() == vector["encoding"]
    assert _core.cache_key(params) == vector["key"]


@pytest.mark.parametrize("vector", EXPRESSIONS, ids=_name)
def test_expressions(vector: dict) -> None:
    encoding = _core.encode_params({"x": keys_catalogue.evaluate(vector["python"])})
    assert encoding.hex() == vector["encoding"]


@pytest.mark.parametrize("vector", VECTORS, ids=_name)
def test_derived(vector: dict) -> None:
    encoding = bytes.fromhex(vector["encoding"])
    assert _core.derive_key(encoding) == (vector["key"], vector["fingerprint"])
    shown = _core.render_params(encoding)
    assert isinstance(shown, dict)
    json.dumps(shown)


def test_model_and_fold() -> None:
    (vector,) = (vector for vector in VECTORS if vector["name"] == "model and fold")
    assert _core.cache_key({"model": "xgboost", "fold": 3}) == vector["key"]
    assert _core.cache_key({"fold": 3, "model": "xgboost"}) == vector["key"]


def test_other_processes_with_other_hash_seeds() -> None:
    """Every vector again in new processes, so that nothing depends on hash seeds, addresses or import order."""
    program = (
        "import json, keys_catalogue as c, keys_reference as r\n"
        "from cacheness import _core\n"
        "for v in reversed(json.loads(r.VECTORS.read_text())['vectors']):\n"
        "    if 'python' in v: p = {'x': c.evaluate(v['python'])}\n"
        "    else: p = {n: c.build(d) for n, d in v['params']}\n"
        "    assert _core.cache_key(p) == v['key'], v['name']\n"
        "print('all alike')\n"
    )
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *filter(None, sys.path)])
    for seed in ("0", "1", "4294967295"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "all alike"
