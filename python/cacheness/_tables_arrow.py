"""PyArrow tables, record batches, chunked arrays and arrays."""

from __future__ import annotations

import base64
from typing import Any

import pyarrow as pa

from cacheness import _core
from cacheness._labels import Unsupported
from cacheness._tables import Encoded
from cacheness.errors import CacheSerializationError

__all__ = ["describe", "from_rust", "rebuild"]


def describe(value: Any) -> tuple[dict[str, Any], Encoded] | None:
    """The description of an Arrow object, and its columns."""
    cls = type(value)
    if cls is pa.Table:
        kind, table = "Table", value
    elif cls is pa.RecordBatch:
        kind, table = "RecordBatch", pa.Table.from_batches([value])
    elif cls is pa.ChunkedArray:
        kind, table = "ChunkedArray", pa.table({"values": value})
    elif isinstance(value, pa.Array) and cls.__module__ == "pyarrow.lib":
        kind, table = "Array", pa.table({"values": value})
    else:
        return None
    schema = table.schema
    for column in table.columns:
        if column.num_chunks > 1 and has_dictionary(column.type) and not _one_dictionary(column):
            raise Unsupported(f"a column of type {column.type} has chunks with different dictionaries")
    description: dict[str, Any] = {"kind": kind, "rows": table.num_rows}
    if not _is_plain(schema.metadata) or not all(_is_plain_field(field) for field in schema) or _repeats_keys(schema):
        # Metadata with an order, or that is not text: stored as Arrow's own encoding of the schema.
        description["schema"] = base64.b64encode(schema.serialize().to_pybytes()).decode()
        table = pa.Table.from_arrays(table.columns, schema=_without_metadata(schema))
        schema = table.schema
    if not survives(schema):
        lost = [field for field in schema if not survives(pa.schema([field]))]
        which = "".join(f"column {field.name!r} of type {field.type}: " for field in lost[:1])
        raise Unsupported(f"{which}another implementation of Arrow changes it")
    return description, Encoded(table, "", "arrow_tables", "table", "", by_value=False, arrow_only=False)


def rebuild(description: dict[str, Any], table: Any) -> Any:
    """The Arrow object that was stored."""
    rows = description["rows"]
    result = pa.RecordBatchReader.from_stream(table).read_all()
    schema = result.schema
    if "schema" in description:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(description["schema"])))
    if result.num_columns:
        result = pa.Table.from_arrays(result.columns, schema=schema)
    else:
        # To give a table without columns rows, select no columns from one that has rows.
        result = pa.table({"rows": pa.nulls(rows)}).replace_schema_metadata(schema.metadata).select([])
    if result.num_rows != rows:
        raise CacheSerializationError(f"the table has {result.num_rows} rows instead of {rows}")
    match description["kind"]:
        case "Table":
            return result
        case "RecordBatch":
            return _one_batch(result)
        case "ChunkedArray":
            return result.column(0)
        case "Array":
            column = result.column(0)
            if not column.num_chunks:
                return _empty(column.type)
            return column.combine_chunks() if column.num_chunks > 1 else column.chunk(0)
        case kind:
            raise CacheSerializationError(f"unknown kind of Arrow object {kind!r}")


def from_rust(table: Any) -> pa.Table:
    """Record batches that Rust stored, as a table."""
    return pa.RecordBatchReader.from_stream(table).read_all()


def survives(schema: pa.Schema) -> bool:
    """Whether the schema comes back unchanged from the Rust implementation of Arrow."""
    try:
        back = pa.RecordBatchReader.from_stream(_core.Table.empty_like(schema)).schema
    except (CacheSerializationError, pa.ArrowException, ValueError, TypeError):
        return False
    return bool(back.equals(schema, check_metadata=True))


def has_dictionary(data_type: pa.DataType) -> bool:
    """Whether a type is or contains a dictionary."""
    if pa.types.is_dictionary(data_type):
        return True
    if isinstance(data_type, pa.BaseExtensionType):
        return has_dictionary(data_type.storage_type)
    return any(has_dictionary(data_type.field(i).type) for i in range(data_type.num_fields))


def _one_dictionary(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_dictionary(column.type):
        return False
    first = column.chunk(0).dictionary
    return all(chunk.dictionary.equals(first) for chunk in column.chunks)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    if len(batches) == 1:
        return batches[0]
    if not batches:
        arrays = [_empty(field.type) for field in table.schema]
        return pa.RecordBatch.from_arrays(arrays, schema=table.schema)
    raise CacheSerializationError("the record batch comes back in pieces")


def _empty(data_type: pa.DataType) -> pa.Array:
    # `pa.array([], …)` fails for unions and some dictionaries.
    return pa.nulls(0, data_type)


def _is_plain(metadata: Any) -> bool:
    if not metadata:
        return True
    if len(metadata) > 1:
        return False
    try:
        return all(part.decode() and True for item in metadata.items() for part in item)
    except UnicodeDecodeError:
        return False


def _repeats_keys(schema: pa.Schema) -> bool:
    """Whether metadata of the schema or of a column has a duplicate key, which a dictionary does not show."""
    fields = [field.with_metadata(field.metadata) if field.metadata else field for field in schema]
    return not pa.schema(fields, metadata=schema.metadata).equals(schema, check_metadata=True)


def _is_plain_field(field: pa.Field) -> bool:
    children = (field.type.field(i) for i in range(field.type.num_fields))
    return _is_plain(field.metadata) and all(_is_plain_field(child) for child in children)


def _without_metadata(schema: pa.Schema) -> pa.Schema:
    """The schema with only the metadata that :func:`_is_plain` accepts. That of extension types is part of the type."""
    fields = [field if _is_plain(field.metadata) else field.remove_metadata() for field in schema]
    fields = [field.with_metadata(field.metadata) if field.metadata else field for field in fields]
    for field in fields:
        if not _is_plain_field(field):
            raise Unsupported("metadata of nested fields that is not text or has an order")
    return pa.schema(fields, metadata=schema.metadata if _is_plain(schema.metadata) else None)
