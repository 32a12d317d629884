-- Schema 3: `etag` and `version`, which a blob backend may have beside a locator, and blobs that wait to be deleted.
-- Documented in docs/formats/store.md. A released migration never changes.
--
-- The table is made anew for the reason that schema 2 gives: `payload` stays the last column.
CREATE TABLE cache_entries_3 (
    id             INTEGER PRIMARY KEY,
    cache_key      TEXT    NOT NULL UNIQUE,
    fingerprint    BLOB,
    created_at     INTEGER NOT NULL,
    accessed_at    INTEGER NOT NULL,
    expires_at     INTEGER,
    access_count   INTEGER NOT NULL,
    handler        TEXT    NOT NULL,
    data_type      TEXT    NOT NULL,
    storage_format TEXT    NOT NULL,
    compression    TEXT    NOT NULL,
    object_type    TEXT    NOT NULL,
    handler_meta   BLOB,
    file_size      INTEGER NOT NULL,
    file_hash      INTEGER NOT NULL,
    digest         BLOB,
    signature      BLOB,
    description    TEXT,
    metadata       TEXT,
    params         BLOB,
    raw_size       INTEGER,
    computed       BLOB,
    locator        TEXT,
    etag           TEXT,
    version        TEXT,
    payload        BLOB,
    CHECK ((locator IS NULL) <> (payload IS NULL))
) STRICT;

INSERT INTO cache_entries_3
SELECT id, cache_key, fingerprint, created_at, accessed_at, expires_at, access_count, handler, data_type, storage_format,
       compression, object_type, handler_meta, file_size, file_hash, digest, signature, description, metadata, params,
       raw_size, computed, locator, NULL, NULL, payload
FROM cache_entries ORDER BY id;

DROP TABLE cache_entries;
ALTER TABLE cache_entries_3 RENAME TO cache_entries;

CREATE INDEX cache_entries_expiry ON cache_entries (expires_at, cache_key) WHERE expires_at IS NOT NULL;
CREATE INDEX cache_entries_locator ON cache_entries (locator) WHERE locator IS NOT NULL;
CREATE INDEX cache_entries_digest ON cache_entries (digest) WHERE locator IS NOT NULL AND digest IS NOT NULL;

-- Blobs that no entry names any more, of backends where a reader needs its blob until it is closed.
CREATE TABLE cache_garbage (
    locator TEXT    NOT NULL PRIMARY KEY,
    due     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cache_garbage_due ON cache_garbage (due);

PRAGMA user_version = 3;
