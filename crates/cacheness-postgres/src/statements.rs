//! The statements of a store, written once.
//!
//! A change keeps the totals and the list of garbage in the same statement, so that it takes one round trip. A released
//! blob is recorded as garbage whether or not another entry still names it: the list leaves those out, and whoever wants
//! to name a blob once more locks an entry that names it.

use crate::names::Names;
use crate::rows::{SUMMARY, WRITTEN};

/// The number of rows of the totals.
const SHARDS: i32 = 32;

/// The texts of the statements.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) get: String,
    pub(crate) get_summary: String,
    pub(crate) get_batch: String,
    pub(crate) get_batch_summary: String,
    pub(crate) put: String,
    pub(crate) update: String,
    pub(crate) delete: String,
    pub(crate) delete_versions: String,
    pub(crate) clear: String,
    pub(crate) pin: String,
    pub(crate) access: String,
    pub(crate) signing_key: String,
    pub(crate) check_key: String,
    pub(crate) check_tables: String,
    pub(crate) sign_with: String,
    pub(crate) collected: String,
    pub(crate) discard: String,
    pub(crate) orphans: String,
    pub(crate) equal_blob: String,
    pub(crate) may_share: String,
    pub(crate) displace: String,
    pub(crate) knows_blobs: String,
    pub(crate) garbage: String,
    pub(crate) totals: String,
    pub(crate) created_range: String,
    pub(crate) page: String,
    pub(crate) lock: String,
    pub(crate) lock_all: String,
    pub(crate) all_for_eviction: String,
    pub(crate) oldest_for_eviction: String,
    pub(crate) sample_for_eviction: String,
    pub(crate) expired_for_eviction: String,
    pub(crate) evict: String,
    pub(crate) written: String,
}

/// Counts the rows of `gone` that a statement has removed, and notes their blobs as garbage if `$due` is not NULL.
fn removal(due: &str) -> String {
    format!(
        ", counted AS (UPDATE {{totals}} AS t SET entries = t.entries - g.n, bytes = t.bytes - g.size, \
             youngest_removed = greatest(t.youngest_removed, g.youngest) \
           FROM (SELECT count(*) AS n, coalesce(sum(file_size), 0) AS size, max(written_at) AS youngest FROM gone) AS g \
           WHERE t.shard = pg_backend_pid() % {SHARDS} AND g.n > 0), \
         discarded AS (INSERT INTO {{garbage}} AS g (locator, due) \
           SELECT DISTINCT gone.locator, {due} FROM gone WHERE {due} IS NOT NULL AND gone.locator IS NOT NULL \
           ON CONFLICT (locator) DO UPDATE SET due = excluded.due)"
    )
}

impl Statements {
    pub(crate) fn new(names: &Names) -> Self {
        let write = |template: &str| names.write(template);
        let columns: Vec<&str> = WRITTEN.iter().map(|(name, _)| *name).collect();
        let count = WRITTEN.len();
        let (due, unguarded, key, triggers) = (count + 1, count + 2, count + 3, count + 4);
        let values: Vec<String> = WRITTEN
            .iter()
            .enumerate()
            .map(|(i, (name, kind))| match *name {
                // Sent as text, and read as JSON by the server.
                "document" => format!("${}::text::jsonb", i + 1),
                _ => format!("${}::{kind}", i + 1),
            })
            .collect();
        let set: Vec<String> = WRITTEN
            .iter()
            .filter(|(name, _)| !matches!(*name, "cache_key" | "access_count"))
            .map(|(name, _)| match *name {
                "pinned" => "pinned = e.pinned OR excluded.pinned".to_owned(),
                name => format!("{name} = excluded.{name}"),
            })
            .collect();
        let put = format!(
            "WITH put AS (INSERT INTO {{entries}} AS e ({columns}) SELECT {values} \
               WHERE (${unguarded}::boolean OR (SELECT value FROM {{info}} WHERE name = 'signing_key') \
                 IS NOT DISTINCT FROM ${key}::text) \
               ON CONFLICT (cache_key) DO UPDATE SET {set}, former_size = e.file_size, former_locator = e.locator, \
                 written_at = clock_timestamp() \
                 WHERE (SELECT count(*) FROM pg_trigger WHERE tgrelid = '{{entries}}'::regclass) = ${triggers}::bigint \
               RETURNING former_size, former_locator, written_at), \
             counted AS (UPDATE {{totals}} AS t \
               SET entries = t.entries + CASE WHEN put.former_size IS NULL THEN 1 ELSE 0 END, \
                   bytes = t.bytes + $13::bigint::numeric - coalesce(put.former_size, 0) \
               FROM put WHERE t.shard = pg_backend_pid() % {SHARDS} \
                 AND put.former_size IS DISTINCT FROM $13::bigint), \
             discarded AS (INSERT INTO {{garbage}} AS g (locator, due) \
               SELECT put.former_locator, ${due}::bigint FROM put WHERE ${due}::bigint IS NOT NULL \
                 AND put.former_locator IS NOT NULL AND put.former_locator IS DISTINCT FROM $21::text COLLATE \"C\" \
               ON CONFLICT (locator) DO UPDATE SET due = excluded.due) \
             SELECT former_size, former_locator, written_at FROM put",
            columns = columns.join(", "),
            values = values.join(", "),
            set = set.join(", "),
        );
        let candidate = "SELECT id, cache_key, accessed_at, access_count, file_size, file_hash, created_at";
        Self {
            get: write(&format!("SELECT {SUMMARY}, payload FROM {{entries}} WHERE cache_key = $1")),
            get_summary: write(&format!("SELECT {SUMMARY} FROM {{entries}} WHERE cache_key = $1")),
            get_batch: write(&format!("SELECT {SUMMARY}, payload FROM {{entries}} WHERE cache_key = ANY($1::text[])")),
            get_batch_summary: write(&format!("SELECT {SUMMARY} FROM {{entries}} WHERE cache_key = ANY($1::text[])")),
            put: write(&put),
            update: write(
                "UPDATE {entries} SET created_at = coalesce($4::bigint, created_at), \
                 accessed_at = coalesce($4::bigint, accessed_at), \
                 expires_at = CASE WHEN $5::boolean THEN $6::bigint ELSE expires_at END, \
                 description = CASE WHEN $7::boolean THEN $8::text ELSE description END, \
                 metadata = CASE WHEN $9::boolean THEN $10::text ELSE metadata END, \
                 document = CASE WHEN $9::boolean THEN $17::text::jsonb ELSE document END, \
                 signature = CASE WHEN $11::boolean THEN $12::bytea ELSE signature END \
                 WHERE cache_key = $1 AND created_at = $2::bigint AND file_hash = $3::bigint \
                 AND metadata IS NOT DISTINCT FROM $13::text AND description IS NOT DISTINCT FROM $14::text \
                 AND expires_at IS NOT DISTINCT FROM $15::bigint AND signature IS NOT DISTINCT FROM $16::bytea \
                 RETURNING 1",
            ),
            delete: write(&format!(
                "WITH gone AS (DELETE FROM {{entries}} WHERE cache_key = $1 \
                   RETURNING file_size, locator, written_at){} SELECT locator FROM gone",
                removal("$2::bigint")
            )),
            delete_versions: write(&format!(
                "WITH gone AS (DELETE FROM {{entries}} AS e USING \
                   unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS v (key, created_at, hash, place) \
                   WHERE e.cache_key = v.key AND e.created_at = v.created_at AND e.file_hash = v.hash \
                   RETURNING v.place, e.file_size, e.locator, e.written_at){} SELECT place, locator FROM gone",
                removal("$4::bigint")
            )),
            clear: write(&format!(
                "WITH gone AS (DELETE FROM {{entries}} RETURNING file_size, locator, written_at){} \
                 SELECT count(*), NULL::text FROM gone UNION ALL \
                 SELECT NULL, locator FROM gone WHERE locator IS NOT NULL AND $1::bigint IS NULL GROUP BY locator",
                removal("$1::bigint")
            )),
            pin: write("UPDATE {entries} SET pinned = $2 WHERE cache_key = $1 RETURNING 1"),
            // The rows are locked in the order of their keys: two flushes never wait for each other.
            access: write(
                "WITH given AS (SELECT key, max(at) AS at, least(sum(n), 9223372036854775807)::bigint AS n \
                   FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS v (key, at, n) GROUP BY key), \
                 locked AS (SELECT e.cache_key FROM {entries} AS e JOIN given ON e.cache_key = given.key \
                   ORDER BY e.cache_key FOR NO KEY UPDATE OF e) \
                 UPDATE {entries} AS e SET accessed_at = greatest(e.accessed_at, given.at), \
                   access_count = e.access_count + least(given.n, 9223372036854775807 - e.access_count) \
                 FROM given JOIN locked ON locked.cache_key = given.key WHERE e.cache_key = given.key",
            ),
            signing_key: write("SELECT value FROM {info} WHERE name = 'signing_key'"),
            // Fails, and with it the transaction, unless the key is this one.
            check_key: write(
                "SELECT 1 / CASE WHEN (SELECT value FROM {info} WHERE name = 'signing_key') IS NOT DISTINCT FROM $1::text \
                 THEN 1 ELSE 0 END",
            ),
            // Fails unless the tables of custom metadata are the known ones. Returns the number of the transaction, by which
            // the server can be asked for its outcome.
            check_tables: write(
                "SELECT pg_current_xact_id()::text, 1 / CASE WHEN (SELECT count(*) FROM pg_trigger WHERE tgrelid = '{entries}'::regclass) = $1::bigint \
                 THEN 1 ELSE 0 END",
            ),
            sign_with: write(
                "INSERT INTO {info} (name, value) VALUES ('signing_key', $1) \
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            ),
            collected: write("DELETE FROM {garbage} WHERE locator = ANY($1::text[])"),
            discard: write(
                "INSERT INTO {garbage} (locator, due) VALUES ($1, $2) ON CONFLICT (locator) DO UPDATE SET due = excluded.due",
            ),
            orphans: write(
                "SELECT l FROM unnest($1::text[]) AS l \
                 WHERE NOT EXISTS (SELECT 1 FROM {entries} WHERE locator = l COLLATE \"C\")",
            ),
            equal_blob: write(
                "SELECT locator, file_size, etag, version FROM {entries} \
                 WHERE digest = $1 AND file_size = $2::bigint AND cache_key <> $3 AND locator IS NOT NULL \
                 ORDER BY cache_key LIMIT 1",
            ),
            // Until the end of the transaction nobody removes or replaces the entry that names the blob.
            may_share: write(
                "SELECT locator, file_size, etag, version FROM {entries} \
                 WHERE digest = $1 AND file_size = $2::bigint AND cache_key <> $3 AND locator = $4 \
                 AND NOT EXISTS (SELECT 1 FROM {entries} WHERE locator = $5) ORDER BY cache_key LIMIT 1 FOR SHARE",
            ),
            displace: write(
                "UPDATE {entries} SET locator = $5, etag = $6, version = $7 \
                 WHERE digest = $1 AND file_size = $2::bigint AND cache_key <> $3 AND locator = $4 RETURNING 1",
            ),
            knows_blobs: write(
                "SELECT EXISTS (SELECT 1 FROM {entries} WHERE locator = l COLLATE \"C\") \
                   OR EXISTS (SELECT 1 FROM {garbage} WHERE locator = l COLLATE \"C\") \
                 FROM unnest($1::text[]) WITH ORDINALITY AS v (l, place) ORDER BY place",
            ),
            garbage: write(
                "SELECT locator FROM {garbage} AS g WHERE due <= $1 \
                 AND NOT EXISTS (SELECT 1 FROM {entries} AS e WHERE e.locator = g.locator) ORDER BY due LIMIT $2",
            ),
            totals: write("SELECT sum(entries)::bigint, sum(bytes)::text FROM {totals}"),
            created_range: write("SELECT min(created_at), max(created_at) FROM {entries}"),
            page: write(&format!(
                "SELECT {SUMMARY} FROM {{entries}} WHERE cache_key >= $1 AND ($2::text IS NULL OR cache_key > $2) \
                 AND ($3::text IS NULL OR cache_key < $3) AND ($4::bigint IS NULL OR expires_at <= $4) \
                 AND (NOT $5::boolean OR pinned) ORDER BY cache_key LIMIT $6 OFFSET $7"
            )),
            lock: write("LOCK TABLE {entries} IN ROW EXCLUSIVE MODE"),
            // Waits for all puts that run, and lets no other begin.
            lock_all: write("LOCK TABLE {entries} IN SHARE ROW EXCLUSIVE MODE"),
            all_for_eviction: write(&format!("{candidate} FROM {{entries}} WHERE cache_key <> $1 AND NOT pinned")),
            oldest_for_eviction: write(&format!(
                "{candidate} FROM (SELECT * FROM {{entries}} ORDER BY id LIMIT $2) AS e \
                 WHERE cache_key <> $1 AND NOT pinned ORDER BY id"
            )),
            sample_for_eviction: write(&format!(
                "SELECT DISTINCT ON (id) e.* FROM \
                   (SELECT min(id) AS first, max(id) AS last FROM {{entries}}) AS b, \
                   unnest($2::double precision[]) AS place, \
                   LATERAL ({candidate} FROM {{entries}} \
                     WHERE id >= b.first + floor(place * (b.last - b.first + 1)::double precision)::bigint \
                     AND cache_key <> $1 AND NOT pinned ORDER BY id LIMIT 64) AS e"
            )),
            expired_for_eviction: write(&format!(
                "{candidate} FROM {{entries}} WHERE expires_at <= $2 AND cache_key <> $1 AND NOT pinned \
                 ORDER BY expires_at LIMIT $3"
            )),
            evict: write(&format!(
                "WITH gone AS (DELETE FROM {{entries}} AS e USING unnest($1::text[], $2::bigint[]) AS v (key, id) \
                   WHERE e.cache_key = v.key AND e.id = v.id AND NOT e.pinned \
                   RETURNING e.cache_key, e.file_size, e.locator, e.written_at){} SELECT cache_key, file_size, locator FROM gone",
                removal("$3::bigint")
            )),
            // The rows of these keys, if they are there, beside the clock and what was removed.
            written: write(
                "SELECT clock_timestamp(), (SELECT max(youngest_removed) FROM {totals}), e.written_at, e.created_at, \
                   e.file_hash, e.locator, e.former_size, e.former_locator \
                 FROM unnest($1::text[]) WITH ORDINALITY AS v (key, place) \
                 LEFT JOIN {entries} AS e ON e.cache_key = v.key COLLATE \"C\" ORDER BY v.place",
            ),
        }
    }
}
