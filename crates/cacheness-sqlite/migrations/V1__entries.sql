-- Schema 1. Documented in docs/formats/store.md. A released migration never changes.
--
-- A rowid table with a unique key beats a WITHOUT ROWID table here: rows carry payloads, and an index b-tree keeps whole
-- rows in its inner pages. `payload` is the last column, so that what comes before it is read without it.
CREATE TABLE cache_entries (
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
    locator        TEXT,
    payload        BLOB,
    CHECK ((locator IS NULL) <> (payload IS NULL))
) STRICT;

CREATE INDEX cache_entries_expiry ON cache_entries (expires_at, cache_key) WHERE expires_at IS NOT NULL;
CREATE INDEX cache_entries_locator ON cache_entries (locator) WHERE locator IS NOT NULL;
CREATE INDEX cache_entries_digest ON cache_entries (digest) WHERE locator IS NOT NULL AND digest IS NOT NULL;

-- One row: the totals of the entries whose id is at most `counted_to`. Newer rows, a few dozen at most, are counted when
-- somebody asks: a row that every put changes would put its page into the log again with every put.
CREATE TABLE cache_totals (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    entries    INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    counted_to INTEGER NOT NULL
) STRICT;
INSERT INTO cache_totals VALUES (1, 0, 0, 0);

-- Keys of entries that are never evicted. No foreign key: with one, clearing a store would look at every row.
CREATE TABLE cache_pins (
    cache_key TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Facts about the store: which release wrote its format.
CREATE TABLE cache_info (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- "cach". `user_version` is the number of the last migration.
PRAGMA application_id = 0x63616368;
PRAGMA user_version = 1;
