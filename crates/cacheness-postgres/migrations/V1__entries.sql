-- Schema 1. Documented in docs/formats/postgresql.md. A released migration never changes. `{…}` are the names of the tables
-- with the schema and the prefix of the store.
--
-- Bytes, not a language, order the keys. `document` is the metadata as filters need it; the text in `metadata` is what was
-- signed. `params_json`, `function` and `call` are what the parameters say to people. `former_size` and `former_locator`
-- are those of the row that the last put replaced: so a put learns them, and whether there was one, from the one statement
-- that writes the row. `written_at` is when that was, by the clock of the server: a put whose answer was lost is looked up
-- with it.
CREATE TABLE {entries} (
    id             bigint GENERATED ALWAYS AS IDENTITY,
    cache_key      text COLLATE "C" PRIMARY KEY,
    fingerprint    bytea,
    created_at     bigint NOT NULL,
    accessed_at    bigint NOT NULL,
    expires_at     bigint,
    access_count   bigint NOT NULL,
    handler        text COLLATE "C" NOT NULL,
    data_type      text COLLATE "C" NOT NULL,
    storage_format text COLLATE "C" NOT NULL,
    compression    text COLLATE "C" NOT NULL,
    object_type    text COLLATE "C" NOT NULL,
    handler_meta   bytea,
    file_size      bigint NOT NULL,
    file_hash      bigint NOT NULL,
    digest         bytea,
    signature      bytea,
    description    text COLLATE "C",
    metadata       text COLLATE "C",
    params         bytea,
    raw_size       bigint,
    locator        text COLLATE "C",
    computed       bytea,
    etag           text COLLATE "C",
    version        text COLLATE "C",
    payload        bytea,
    pinned         boolean NOT NULL DEFAULT false,
    document       jsonb,
    params_json    text COLLATE "C",
    function       text COLLATE "C",
    call           text COLLATE "C",
    former_size    bigint,
    former_locator text COLLATE "C",
    written_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((locator IS NULL) <> (payload IS NULL))
);

-- Compressed payloads gain nothing from being compressed again.
ALTER TABLE {entries} ALTER COLUMN payload SET STORAGE EXTERNAL;

CREATE INDEX {entries_id} ON {entries} (id);
CREATE INDEX {entries_expiry} ON {entries} (expires_at, cache_key) WHERE expires_at IS NOT NULL;
CREATE INDEX {entries_locator} ON {entries} (locator) WHERE locator IS NOT NULL;
CREATE INDEX {entries_digest} ON {entries} (digest) WHERE locator IS NOT NULL AND digest IS NOT NULL;
-- Entries whose metadata cannot be read: few, and every filter has to look at them.
CREATE INDEX {entries_damaged} ON {entries} (cache_key) WHERE document IS NULL;

-- The totals are the sums over all rows. A connection counts in the row of its own number, so that writers do not wait for
-- each other. `youngest_removed` is the latest `written_at` of the rows that were removed.
CREATE TABLE {totals} (
    shard            integer PRIMARY KEY,
    entries          bigint NOT NULL,
    bytes            numeric NOT NULL,
    youngest_removed timestamptz
) WITH (fillfactor = 10);
INSERT INTO {totals} SELECT shard, 0, 0 FROM generate_series(0, 31) AS shard;

-- Facts about the store: which key signs its entries.
CREATE TABLE {info} (
    name  text COLLATE "C" PRIMARY KEY,
    value text COLLATE "C" NOT NULL
);

-- Blobs that an entry named and that wait to be deleted.
CREATE TABLE {garbage} (
    locator text COLLATE "C" PRIMARY KEY,
    due     bigint NOT NULL
);
CREATE INDEX {garbage_due} ON {garbage} (due);
