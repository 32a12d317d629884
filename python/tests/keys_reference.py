"""A second, plain implementation of ``docs/formats/keys.md`` over the descriptions in ``keys.vectors.json``.

It shares no code with the package: the golden vectors are what both agree on. BLAKE3 of long contents is the one thing
it takes from the package (as the hash of a file).

``python python/tests/keys_reference.py`` adds the vectors of :mod:`keys_catalogue` that the file does not have yet; it
never changes one that is there.
"""

from __future__ import annotations

import datetime
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[2] / "docs" / "formats" / "keys.vectors.json"


def blake3(content: bytes) -> bytes:
    from cacheness import _core

    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return bytes.fromhex(_core.hash_path(file.name))


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def raw(content: bytes) -> bytes:
    return varint(len(content)) + content


def text(content: str) -> bytes:
    return raw(content.encode())


def i64(value: int) -> bytes:
    return struct.pack(">q", value)


def integer(value: int) -> bytes:
    size = 0 if value == 0 else 1
    while True:
        try:
            return b"\x03" + raw(value.to_bytes(size, "big", signed=True))
        except OverflowError:
            size += 1


def long(short: int, content: bytes) -> bytes:
    if len(content) <= 4096:
        return bytes([short]) + raw(content)
    return bytes([short + 1]) + varint(len(content)) + blake3(content)


def micros(moment: datetime.datetime) -> int:
    return (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)


def encode(description: Any, root: bool = False) -> bytes:
    """The encoding of a described value, without the version byte."""
    ((kind, body),) = description.items()
    if kind in ("list", "tuple", "set", "frozenset", "mapping"):
        tag = {"list": 0x40, "tuple": 0x41, "mapping": 0x42, "set": 0x43, "frozenset": 0x44}[kind]
        if kind == "mapping":
            items = [key + value for key, value in sorted((encode(k), encode(v)) for k, v in body)]
        else:
            items = [encode(item) for item in body]
            if tag >= 0x43:
                items.sort()
        encoded = bytes([tag]) + varint(len(items)) + b"".join(items)
        if len(encoded) > 16384 and not root:
            return b"\x63" + varint(len(encoded)) + blake3(encoded)
        return encoded
    if kind == "repeat":
        return encode({body[0]: [body[1]] * body[2]}, root)
    if kind == "none":
        return b"\x00"
    if kind == "bool":
        return b"\x02" if body else b"\x01"
    if kind == "int":
        return integer(int(body))
    if kind == "float":
        return b"\x04" + bytes.fromhex(body)
    if kind == "complex":
        return b"\x05" + bytes.fromhex(body[0]) + bytes.fromhex(body[1])
    if kind == "str":
        return long(0x06, body.encode())
    if kind == "str_repeat":
        return long(0x06, (body[0] * body[1]).encode())
    if kind == "bytes":
        return long(0x08, bytes.fromhex(body))
    if kind == "bytes_repeat":
        return long(0x08, bytes.fromhex(body[0]) * body[1])
    if kind == "decimal":
        return b"\x0a" + text(body)
    if kind == "uuid":
        return b"\x0b" + bytes.fromhex(body.replace("-", ""))
    if kind == "ellipsis":
        return b"\x0c"
    if kind == "datetime":
        return b"\x10" + i64(micros(datetime.datetime.fromisoformat(body)))
    if kind == "datetime_zoned":
        wall, offset, zone = body
        return b"\x11" + i64(micros(datetime.datetime.fromisoformat(wall))) + i64(offset) + text(zone)
    if kind == "date":
        return b"\x12" + i64((datetime.date.fromisoformat(body) - datetime.date(1970, 1, 1)).days)
    if kind == "time":
        return b"\x13" + i64(body[0]) + (b"\x00" if body[1] is None else b"\x01" + i64(body[1]))
    if kind == "timedelta":
        return b"\x14" + integer(int(body))
    if kind == "path_name":
        return b"\x20" + text(body)
    if kind == "array":
        dtype, shape, items = body
        return b"\x50" + text(dtype) + varint(len(shape)) + b"".join(map(varint, shape)) + blake3(bytes.fromhex(items))
    if kind == "scalar":
        return b"\x51" + text(body[0]) + raw(bytes.fromhex(body[1]))
    if kind == "reference":
        return b"\x60" + text(body)
    if kind == "enum":
        return b"\x61" + text(body[0]) + text(body[1])
    if kind == "named":
        return b"\x62" + text(body[0]) + encode(body[1])
    raise ValueError(f"no such kind of value: {kind}")


def encode_params(params: list[list[Any]]) -> bytes:
    pairs = [[{"str": name}, description] for name, description in params]
    return b"\x01" + encode({"mapping": pairs}, root=True)


def main() -> None:
    from keys_catalogue import DESCRIBED, EXPRESSIONS, evaluate

    from cacheness import _core

    vectors = json.loads(VECTORS.read_text())["vectors"] if VECTORS.exists() else []
    present = {vector["name"] for vector in vectors}
    for name, params in DESCRIBED:
        if name not in present:
            vectors.append({"name": name, "params": params, "encoding": encode_params(params).hex()})
    for name, expression in EXPRESSIONS:
        if name not in present:
            encoding = _core.encode_params({"x": evaluate(expression)})
            vectors.append({"name": name, "python": expression, "encoding": encoding.hex()})
    for vector in vectors:
        if "key" not in vector:
            vector["key"], vector["fingerprint"] = _core.derive_key(bytes.fromhex(vector["encoding"]))
    lines = ",\n".join("    " + json.dumps(vector, ensure_ascii=False) for vector in vectors)
    VECTORS.write_text('{\n  "version": 1,\n  "vectors": [\n' + lines + "\n  ]\n}\n")


if __name__ == "__main__":
    main()
