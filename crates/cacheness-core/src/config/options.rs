//! All options: their sections and types in files, their environment variables, and where the engine keeps them.
//!
//! Files, environment variables, `cacheness config`, the JSON Schema and the classes of the Python package have the same
//! options. This list is their source; `docs/configuration.md` shows it.

use serde_json::{Value, json};

use super::CacheConfig;
use super::backend::masked;
use super::read::nearest;
use crate::error::{Error, ErrorKind, Result};
use crate::sign::SignedFields;

/// What every environment variable of an option begins with.
const PREFIX: &str = "CACHENESS_";

/// The type of an option, and the range of its values.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// True or false.
    Switch,
    /// A whole number in this range, both ends included.
    Count(u64, u64),
    /// A finite number that is greater than zero.
    Positive,
    /// A finite number that is greater than zero, up to this one.
    UpTo(f64),
    /// A finite number that is zero or greater.
    NotNegative,
    /// -1, or a number that is greater than zero.
    PositiveOrMinusOne,
    /// One of these names.
    Choice(&'static [&'static str]),
    /// Text.
    Text,
    /// Text that is not empty: a path, a name.
    Name,
    /// A list of names.
    Names,
    /// A list of fields of an entry that can be signed.
    SignedFields,
    /// Options of a backend by their names.
    Table,
    /// Names and texts.
    Texts,
}

/// One option of the configuration.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConfigOption {
    /// Its name, in files without a section too.
    pub name: &'static str,
    /// Its section in files; empty for an option beside the sections.
    pub section: &'static str,
    /// Its other name, if it has one.
    pub alias: Option<&'static str>,
    /// The type of its values.
    pub kind: Kind,
    /// Whether `null` is a value of it, which is no limit, or what the backend or the directory decides.
    pub nullable: bool,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// The dotted path of its field in [`CacheConfig`]; empty if the engine does not have it.
    path: &'static str,
    /// The default as JSON, where [`CacheConfig`] does not have it.
    default: Option<&'static str>,
    variable: Option<&'static str>,
}

impl ConfigOption {
    const fn new(
        section: &'static str,
        name: &'static str,
        path: &'static str,
        kind: Kind,
        about: &'static str,
    ) -> Self {
        Self { name, section, alias: None, kind, nullable: false, about, path, default: None, variable: None }
    }

    const fn alias(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    const fn variable_is(self, variable: &'static str) -> Self {
        Self { variable: Some(variable), ..self }
    }

    const fn default_is(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// `section.name`, or the name alone.
    #[must_use]
    pub fn full_name(&self) -> String {
        if self.section.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.section, self.name) }
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        self.variable.map_or_else(|| format!("{PREFIX}{}", self.name.to_uppercase()), str::to_owned)
    }

    /// Its default; `null` for an option of a backend, which has defaults of its own.
    #[must_use]
    pub fn default_value(&self) -> Value {
        match self.default {
            Some(text) => serde_json::from_str(text).expect("the list has valid JSON"),
            None if self.is_of_backend() => Value::Null,
            None => {
                self.value_in(&serde_json::to_value(CacheConfig::default()).expect("a configuration is valid JSON"))
            }
        }
    }

    /// Whether it is an option of a backend, such as `pool_size` and `bucket`.
    #[must_use]
    pub fn is_of_backend(&self) -> bool {
        self.path.contains("_backend_options.")
    }

    /// Its field in [`CacheConfig`]: a dotted path; `None` if only the facade or the Python package has it.
    #[must_use]
    pub fn path(&self) -> Option<&'static str> {
        (!self.path.is_empty()).then_some(self.path)
    }

    /// Its value in a configuration of the engine that is in JSON.
    #[must_use]
    pub fn value_in(&self, config: &Value) -> Value {
        if self.path.is_empty() {
            return Value::Null;
        }
        self.path.split('.').try_fold(config, |at, name| at.get(name)).cloned().unwrap_or(Value::Null)
    }

    /// The value of the text of its environment variable.
    ///
    /// A switch is `true`, `false`, `1` or `0`; `none` is no limit; a list is JSON, or names with commas between them; a
    /// table is a JSON object.
    ///
    /// # Errors
    /// `InvalidInput`: the message names the variable.
    pub fn of_text(&self, text: &str) -> Result<Value> {
        if self.is_none(&text.into()) {
            return Ok(Value::Null);
        }
        let whole = || text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let value = match self.kind {
            Kind::Switch => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true.into()),
                "false" | "0" => Some(false.into()),
                _ => None,
            },
            Kind::Count(least, most) => whole().filter(|count| (least..=most).contains(count)).map(Value::from),
            Kind::Positive | Kind::UpTo(_) | Kind::NotNegative | Kind::PositiveOrMinusOne => {
                text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from)
            }
            Kind::Choice(names) => names.contains(&text).then(|| text.into()),
            Kind::Text | Kind::Name => Some(text.into()),
            Kind::Names | Kind::SignedFields if text.starts_with('[') => serde_json::from_str(text).ok(),
            Kind::Names | Kind::SignedFields => Some(text.split(',').map(|name| Value::from(name.trim())).collect()),
            Kind::Table | Kind::Texts => serde_json::from_str(text).ok(),
        };
        match value.filter(|value| self.accepts(value)) {
            Some(value) => Ok(value),
            None => Err(self.refused(&format!("the environment variable {}", self.variable()), &text.into())),
        }
    }

    /// Whether a value is the text `none`, which is `null` where that is a value and text is not: TOML has no `null`.
    #[must_use]
    pub fn is_none(&self, value: &Value) -> bool {
        let is_text = matches!(self.kind, Kind::Text | Kind::Name | Kind::Choice(_));
        self.nullable && !is_text && value.as_str() == Some("none")
    }

    /// Whether this is a value of the option.
    #[must_use]
    pub fn accepts(&self, value: &Value) -> bool {
        let number = || value.as_f64().filter(|number| number.is_finite());
        match self.kind {
            _ if value.is_null() || self.is_none(value) => self.nullable,
            Kind::Switch => value.is_boolean(),
            Kind::Count(least, most) => count(value).is_some_and(|count| (least..=most).contains(&count)),
            Kind::Positive => number().is_some_and(|number| number > 0.0),
            Kind::UpTo(most) => number().is_some_and(|number| number > 0.0 && number <= most),
            Kind::NotNegative => number().is_some_and(|number| (0.0..=LONGEST).contains(&number)),
            #[allow(clippy::float_cmp)] // one value
            Kind::PositiveOrMinusOne => number().is_some_and(|number| number > 0.0 || number == -1.0),
            Kind::Choice(names) => value.as_str().is_some_and(|name| names.contains(&name)),
            Kind::Text => value.is_string(),
            Kind::Name => value.as_str().is_some_and(|name| !name.is_empty() && !name.contains('\0')),
            Kind::Names => value.as_array().is_some_and(|names| names.iter().all(Value::is_string)),
            Kind::SignedFields => value.as_array().is_some_and(|names| {
                let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
                names.is_some_and(|names| SignedFields::from_names(&names).is_ok())
            }),
            Kind::Table => value.is_object(),
            Kind::Texts => value.as_object().is_some_and(|texts| texts.values().all(Value::is_string)),
        }
    }

    /// The error for a value that the option does not [accept](Self::accepts); `name` is how it was given. Secrets are hidden.
    #[must_use]
    pub fn refused(&self, name: &str, value: &Value) -> Error {
        let near = match (self.kind, value.as_str()) {
            (Kind::Choice(names), Some(value)) => nearest(value, names.iter().copied()),
            _ => None,
        };
        let meant = near.map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
        let shown = masked(self.name, value);
        Error::new(ErrorKind::InvalidInput, format!("{name} is {shown}")).with_hint(format!("{meant}{}", self.wanted()))
    }

    /// What a value of the option is, as a hint.
    #[must_use]
    pub fn wanted(&self) -> String {
        let wanted = match self.kind {
            Kind::Switch => "give true or false".to_owned(),
            Kind::Count(0, u64::MAX) => "give a whole number that is zero or more".to_owned(),
            Kind::Count(1, u64::MAX) => "give a whole number that is greater than zero".to_owned(),
            Kind::Count(least, most) => format!("give a whole number from {least} to {most}"),
            Kind::Positive => "give a number that is greater than zero".to_owned(),
            Kind::UpTo(most) => format!("give a number above zero, up to {most}"),
            Kind::NotNegative => "give a number that is zero or more".to_owned(),
            Kind::PositiveOrMinusOne => "give a number that is greater than zero, or -1".to_owned(),
            Kind::Choice(names) => format!("give one of {}", names.join(", ")),
            Kind::Text | Kind::Name => "give text".to_owned(),
            Kind::Names => "give a list of names".to_owned(),
            Kind::SignedFields => {
                format!("give a list of fields: {}", SignedFields::names().collect::<Vec<_>>().join(", "))
            }
            Kind::Table => "give a table of options".to_owned(),
            Kind::Texts => "give a table of names and texts".to_owned(),
        };
        if self.nullable && !self.is_of_backend() { format!("{wanted}, or none") } else { wanted }
    }

    /// The JSON Schema of its values.
    pub(super) fn schema(&self) -> Value {
        let mut schema = match self.kind {
            Kind::Switch => json!({"type": "boolean"}),
            Kind::Count(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Kind::Positive => json!({"type": "number", "exclusiveMinimum": 0}),
            Kind::UpTo(most) => json!({"type": "number", "exclusiveMinimum": 0, "maximum": most}),
            Kind::NotNegative => json!({"type": "number", "minimum": 0, "maximum": LONGEST}),
            Kind::PositiveOrMinusOne => json!({"anyOf": [{"const": -1}, {"type": "number", "exclusiveMinimum": 0}]}),
            Kind::Choice(names) => json!({"enum": names}),
            Kind::Text => json!({"type": "string"}),
            Kind::Name => json!({"type": "string", "pattern": "^[^\u{0}]+$"}),
            Kind::Names => json!({"type": "array", "items": {"type": "string"}}),
            Kind::SignedFields => {
                json!({"type": "array", "items": {"enum": SignedFields::names().collect::<Vec<_>>()}})
            }
            Kind::Table => json!({"type": "object"}),
            Kind::Texts => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        };
        if self.nullable {
            let none =
                if self.is_none(&"none".into()) { json!({"enum": [null, "none"]}) } else { json!({"type": "null"}) };
            schema = json!({"anyOf": [schema, none]});
        }
        schema["description"] = self.about.into();
        if !self.is_of_backend() {
            schema["default"] = self.default_value();
        }
        schema
    }
}

/// A whole number; JSON Schema counts `3.0` among them.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // checked
pub(super) fn count(value: &Value) -> Option<u64> {
    let whole = |number: &f64| number.fract() == 0.0 && (0.0..u64::MAX as f64).contains(number);
    value.as_u64().or_else(|| value.as_f64().filter(whole).map(|number| number as u64))
}

/// All options, in the order in which they are shown.
#[must_use]
pub fn options() -> &'static [ConfigOption] {
    OPTIONS
}

/// The sections of a file, in the order in which they are shown.
pub const SECTIONS: &[&str] = &["storage", "metadata", "blob", "compression", "serialization", "handlers", "security"];

/// The longest time in seconds.
const LONGEST: f64 = 1e18;
const ANY: Kind = Kind::Count(0, u64::MAX);
const SOME: Kind = Kind::Count(1, u64::MAX);
const ON: &str = "true";
const OFF: &str = "false";

const fn own(name: &'static str, path: &'static str, kind: Kind, about: &'static str) -> ConfigOption {
    ConfigOption::new("", name, path, kind, about)
}

const fn storage(name: &'static str, path: &'static str, kind: Kind, about: &'static str) -> ConfigOption {
    ConfigOption::new("storage", name, path, kind, about)
}

const fn metadata(name: &'static str, path: &'static str, kind: Kind, about: &'static str) -> ConfigOption {
    ConfigOption::new("metadata", name, path, kind, about)
}

const fn blob(name: &'static str, path: &'static str, kind: Kind, about: &'static str) -> ConfigOption {
    ConfigOption::new("blob", name, path, kind, about)
}

const fn compression(name: &'static str, path: &'static str, kind: Kind, about: &'static str) -> ConfigOption {
    ConfigOption::new("compression", name, path, kind, about)
}

const fn serialization(name: &'static str, path: &'static str, kind: Kind, about: &'static str) -> ConfigOption {
    ConfigOption::new("serialization", name, path, kind, about)
}

/// Handlers belong to the Python package: the engine has none of these.
const fn handlers(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> ConfigOption {
    ConfigOption::new("handlers", name, "", kind, about).default_is(default)
}

const fn security(name: &'static str, path: &'static str, kind: Kind, about: &'static str) -> ConfigOption {
    ConfigOption::new("security", name, path, kind, about)
}

use Kind::{Choice, Count, Name, Names, NotNegative, Positive, PositiveOrMinusOne, Switch, Table, Text, Texts, UpTo};

#[rustfmt::skip] // one option, one row
const OPTIONS: &[ConfigOption] = &[
    own("default_ttl_seconds", "default_ttl_seconds", UpTo(LONGEST), "seconds that an entry is served unless its put sets a time to live").nullable(),
    own("storage_mode", "storage_mode", Switch, "whether the cache is a store: no default time to live, no eviction"),
    own("flight_patience_seconds", "flight_patience_seconds", NotNegative, "seconds that a computation waits for another process to compute a value that it needs"),

    storage("cache_dir", "", Name, "the directory, or `:memory:`").variable_is("CACHENESS_DIR").default_is("\"./cache\""),
    storage("max_cache_size_mb", "limits.max_cache_size_mb", Positive, "megabytes (2^20 bytes) of values").nullable().variable_is("CACHENESS_MAX_SIZE_MB"),
    storage("max_entries", "limits.max_entries", SOME, "the maximum number of entries").nullable(),
    storage("max_age_seconds", "limits.max_age_seconds", UpTo(LONGEST), "seconds that any entry is served, whatever its time to live").nullable(),
    storage("eviction_policy", "limits.eviction_policy", Choice(&["lru", "lfu", "fifo", "none"]), "which entries a full cache evicts"),
    storage("cleanup_on_init", "", Switch, "whether expired entries are removed when the cache is opened").default_is(OFF),
    storage("durability", "store.durability", Choice(&["normal", "full"]), "`full`: puts also survive a loss of power"),
    storage("inline_threshold_bytes", "store.inline_threshold_bytes", ANY, "payloads up to this size are stored inside their entry"),
    storage("read_only", "", Switch, "whether the store refuses writes").default_is(OFF),

    metadata("backend", "store.metadata_backend", Name, "the metadata backend; `null`: the one that the directory records, `sqlite` for a new one").nullable().alias("metadata_backend").variable_is("CACHENESS_BACKEND"),
    metadata("database_url", "store.database_url", Name, "the URL of a database, or the path of a SQLite database").nullable(),
    metadata("metadata_backend_options", "store.metadata_backend_options", Table, "options of the metadata backend, together").alias("backend_options"),
    metadata("store_cache_key_params", "store.store_cache_key_params", Switch, "whether an entry stores the parameters of its key"),
    metadata("store_full_metadata", "store.store_full_metadata", Switch, "whether queries in SQL see `full_metadata`"),
    metadata("verify_cache_integrity", "store.verify_cache_integrity", Switch, "whether a payload's hash is checked when it is read"),
    metadata("enable_memory_cache", "store.memory.enable_memory_cache", Switch, "whether the process keeps entries in memory"),
    metadata("memory_cache_type", "store.memory.memory_cache_type", Choice(&["lru", "lfu", "fifo", "rr"]), "which entry is evicted from memory first"),
    metadata("memory_cache_maxsize", "store.memory.memory_cache_maxsize", SOME, "the maximum number of entries in memory"),
    metadata("memory_cache_max_mb", "store.memory.memory_cache_max_mb", Positive, "megabytes of entries in memory"),
    metadata("memory_cache_ttl_seconds", "store.memory.memory_cache_ttl_seconds", Positive, "seconds after which an entry in memory is read again"),
    metadata("memory_cache_stats", "", Switch, "whether statistics have `memory_cache_hits`").default_is(OFF),
    metadata("connection_url", "store.metadata_backend_options.connection_url", Name, "PostgreSQL: the address; `database_url` may have it instead").nullable(),
    metadata("schema", "store.metadata_backend_options.schema", Name, "PostgreSQL: the schema of the tables").nullable(),
    metadata("table_prefix", "store.metadata_backend_options.table_prefix", Text, "PostgreSQL: what the names of the tables begin with").nullable(),
    metadata("table_name", "store.metadata_backend_options.table_name", Name, "PostgreSQL: the table of entries, which ends in `entries`").nullable(),
    metadata("pool_size", "store.metadata_backend_options.pool_size", Count(0, 1_000_000), "PostgreSQL: connections that stay open").nullable(),
    metadata("max_overflow", "store.metadata_backend_options.max_overflow", Count(0, 1_000_000), "PostgreSQL: connections beyond those").nullable(),
    metadata("pool_timeout", "store.metadata_backend_options.pool_timeout", UpTo(1e9), "PostgreSQL: seconds that a call waits for a connection").nullable(),
    metadata("pool_recycle", "store.metadata_backend_options.pool_recycle", PositiveOrMinusOne, "PostgreSQL: seconds after which a connection is not used again; -1 is never").nullable(),
    metadata("pool_pre_ping", "store.metadata_backend_options.pool_pre_ping", Switch, "PostgreSQL: whether an idle connection is tried before it is used").nullable(),
    metadata("connect_timeout", "store.metadata_backend_options.connect_timeout", UpTo(1e9), "PostgreSQL: seconds to connect").nullable(),
    metadata("statement_timeout", "store.metadata_backend_options.statement_timeout", UpTo(1e9), "PostgreSQL: seconds of one statement").nullable(),
    metadata("echo", "store.metadata_backend_options.echo", Switch, "accepted for SQLAlchemy's sake; statements are logged at the level `trace`").nullable(),

    blob("blob_backend", "store.blob_backend", Name, "the blob backend, or a URL such as `s3://bucket/prefix` and `file:///mnt/blobs`").alias("backend").default_is("\"filesystem\""),
    blob("blob_backend_options", "store.blob_backend_options", Table, "options of the blob backend, together").alias("backend_options"),
    blob("shard_chars", "store.shard_chars", Count(0, 4), "characters in the names of the directories that blobs are spread over"),
    blob("allow_local_index", "store.allow_local_index", Switch, "whether payloads on a server may have their entries on this machine"),
    blob("bucket", "store.blob_backend_options.bucket", Name, "S3: the bucket").nullable(),
    blob("prefix", "store.blob_backend_options.prefix", Text, "S3: what all keys begin with").nullable(),
    blob("region", "store.blob_backend_options.region", Text, "S3: the region").nullable(),
    blob("endpoint_url", "store.blob_backend_options.endpoint_url", Text, "S3: another server than that of AWS").nullable(),
    blob("use_ssl", "store.blob_backend_options.use_ssl", Switch, "S3: whether to use TLS").nullable(),
    blob("access_key", "store.blob_backend_options.access_key", Text, "S3: the access key").nullable(),
    blob("secret_key", "store.blob_backend_options.secret_key", Text, "S3: its secret").nullable(),
    blob("session_token", "store.blob_backend_options.session_token", Text, "S3: the token of temporary credentials").nullable(),
    blob("profile", "store.blob_backend_options.profile", Text, "S3: the profile of the shared credentials").nullable(),
    blob("addressing_style", "store.blob_backend_options.addressing_style", Choice(&["auto", "path", "virtual"]), "S3: where requests name the bucket").nullable(),
    blob("storage_class", "store.blob_backend_options.storage_class", Text, "S3: the storage class of new objects").nullable(),
    blob("encryption", "store.blob_backend_options.encryption", Switch, "S3: `server_side_encryption = \"AES256\"`").nullable(),
    blob("server_side_encryption", "store.blob_backend_options.server_side_encryption", Choice(&["AES256", "aws:kms", "aws:kms:dsse"]), "S3: how the server encrypts new objects").nullable(),
    blob("kms_key_id", "store.blob_backend_options.kms_key_id", Text, "S3: the key of `aws:kms`").nullable(),
    blob("content_type", "store.blob_backend_options.content_type", Text, "S3: the `Content-Type` of new objects").nullable(),
    blob("cache_control", "store.blob_backend_options.cache_control", Text, "S3: the `Cache-Control` of new objects").nullable(),
    blob("object_metadata", "store.blob_backend_options.object_metadata", Texts, "S3: user metadata of new objects").nullable(),
    blob("part_size_mb", "store.blob_backend_options.part_size_mb", Count(5, 512), "S3: megabytes of a part").nullable(),
    blob("max_concurrency", "store.blob_backend_options.max_concurrency", Count(1, 64), "S3: parts of one object at the same time").nullable(),
    blob("connect_timeout_seconds", "store.blob_backend_options.connect_timeout_seconds", UpTo(3600.0), "S3: seconds to connect").nullable(),
    blob("request_timeout_seconds", "store.blob_backend_options.request_timeout_seconds", UpTo(3600.0), "S3: seconds of one request").nullable(),
    blob("max_retries", "store.blob_backend_options.max_retries", ANY, "S3: how often a request is sent again").nullable(),
    blob("retry_timeout_seconds", "store.blob_backend_options.retry_timeout_seconds", UpTo(3600.0), "S3: how long a request is sent again, in seconds").nullable(),

    compression("pickle_compression_codec", "store.compression.pickle_compression_codec", Choice(&["none", "lz4", "zstd", "gzip"]), "codec of plain data and pickles").variable_is("CACHENESS_COMPRESSION_CODEC"),
    compression("pickle_compression_level", "store.compression.pickle_compression_level", Count(1, 22), "its level, up to 9; with `zstd` and `none` up to 22").variable_is("CACHENESS_COMPRESSION_LEVEL"),
    compression("compression_threshold_bytes", "store.compression.compression_threshold_bytes", ANY, "smaller payloads are not compressed"),
    compression("use_blosc2_arrays", "store.compression.use_blosc2_arrays", Switch, "whether arrays are compressed with Blosc2"),
    compression("blosc2_array_codec", "store.compression.blosc2_array_codec", Choice(&["lz4", "lz4hc", "blosclz", "zstd", "zlib"]), "codec inside Blosc2 files"),
    compression("blosc2_array_compression_level", "store.compression.blosc2_array_compression_level", Count(1, 9), "its level"),
    compression("array_format", "store.compression.array_format", Choice(&["auto", "blosc2", "npy"]), "the file format of arrays"),
    compression("parquet_compression", "store.compression.parquet_compression", Choice(&["none", "lz4", "zstd", "snappy", "gzip"]), "codec inside Parquet and Arrow files"),
    compression("dataframe_format", "store.compression.dataframe_format", Choice(&["parquet", "arrow"]), "the file format of tables"),
    compression("parallel", "store.compression.parallel", Switch, "whether large values are compressed on all cores"),
    compression("sample", "store.compression.sample", Switch, "whether a sample decides if a large value is compressed"),

    serialization("enable_collections", "store.serialization.enable_collections", Switch, "whether objects inside collections are encoded by their parts"),
    serialization("enable_object_introspection", "store.serialization.enable_object_introspection", Switch, "whether objects without an encoding are encoded by their parts"),
    serialization("max_tuple_recursive_length", "store.serialization.max_tuple_recursive_length", ANY, "the maximum nesting of tuples"),
    serialization("max_collection_depth", "store.serialization.max_collection_depth", ANY, "the maximum nesting of collections"),
    serialization("hash_path_content", "store.serialization.hash_path_content", Switch, "whether paths are encoded by the content of their file"),

    handlers("handler_priority", Names, "[]", "Python: names of handlers to try first"),
    handlers("enable_plain_objects", Switch, ON, "Python: whether that handler is used"),
    handlers("enable_numpy_arrays", Switch, ON, "Python: whether that handler is used"),
    handlers("enable_pandas_dataframes", Switch, ON, "Python: whether that handler is used"),
    handlers("enable_pandas_series", Switch, ON, "Python: whether that handler is used"),
    handlers("enable_polars_dataframes", Switch, ON, "Python: whether that handler is used"),
    handlers("enable_polars_series", Switch, ON, "Python: whether that handler is used"),
    handlers("enable_arrow_tables", Switch, ON, "Python: whether that handler is used"),
    handlers("enable_object_pickle", Switch, ON, "Python: whether that handler is used"),
    handlers("enable_dill_fallback", Switch, ON, "Python: whether objects that pickle refuses are stored with dill"),

    security("enable_entry_signing", "store.security.enable_entry_signing", Switch, "whether entries are signed when written and checked when read").alias("enable_signing"),
    security("signing_key_file", "store.security.signing_key_file", Name, "the key file: a name in the directory, or an absolute path"),
    security("use_in_memory_key", "store.security.use_in_memory_key", Switch, "whether the key exists only in this process"),
    security("custom_signed_fields", "store.security.custom_signed_fields", Kind::SignedFields, "fields to sign besides those that are always signed; `null` signs all").nullable(),
    security("allow_unsigned_entries", "store.security.allow_unsigned_entries", Switch, "whether entries without a signature are served"),
    security("delete_invalid_signatures", "store.security.delete_invalid_signatures", Switch, "whether an entry with an invalid signature is deleted when it is read"),
    security("allow_pickle", "store.security.allow_pickle", Switch, "whether pickles are written and read"),
    security("trust_unsigned_pickles", "store.security.trust_unsigned_pickles", Switch, "whether a pickle is decoded without a valid signature of its entry"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every field of the configuration, as a dotted path.
    fn fields(prefix: &str, value: &Value, all: &mut HashSet<String>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (name, value) in map {
                    fields(&if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") }, value, all);
                }
            }
            _ => {
                all.insert(prefix.to_owned());
            }
        }
    }

    #[test]
    fn every_field_of_the_engine_is_an_option_and_every_option_has_a_field() {
        let mut all = HashSet::new();
        fields("", &serde_json::to_value(CacheConfig::default()).unwrap(), &mut all);
        let listed: HashSet<_> = options().iter().filter_map(|o| o.path()).map(str::to_owned).collect();
        // The default of a new directory is what CACHENESS_BACKEND sets; content addressing is for a store, in code.
        let missing: HashSet<_> = all.difference(&listed).map(String::as_str).collect();
        assert_eq!(missing, HashSet::from(["store.default_metadata_backend", "store.content_addressable"]));
        for option in options() {
            let is_field = option.path().is_none_or(|path| all.contains(path) || option.is_of_backend());
            assert!(is_field, "{}", option.name);
            assert!(SECTIONS.contains(&option.section) || option.section.is_empty(), "{}", option.name);
            let default = option.default_value();
            assert!(option.accepts(&default) || default.is_null(), "{}: {default}", option.name);
        }
        let names: HashSet<_> = options().iter().map(|o| o.name).collect();
        let variables: HashSet<_> = options().iter().map(ConfigOption::variable).collect();
        assert_eq!((names.len(), variables.len()), (options().len(), options().len()), "each name is one option");
    }

    #[test]
    fn the_text_of_a_variable_has_the_type_of_its_option() {
        let of = |name: &str, text: &str| {
            let option = options().iter().find(|option| option.name == name).unwrap();
            option.of_text(text)
        };
        for (name, text, value) in [
            ("max_cache_size_mb", "2.5", json!(2.5)),
            ("max_cache_size_mb", "none", Value::Null),
            ("max_entries", "5", json!(5)),
            ("read_only", "1", json!(true)),
            ("read_only", "False", json!(false)),
            ("eviction_policy", "none", json!("none")),
            ("handler_priority", "a, b", json!(["a", "b"])),
            ("custom_signed_fields", r#"["description"]"#, json!(["description"])),
            ("custom_signed_fields", "none", Value::Null),
            ("blob_backend_options", r#"{"bucket": "b"}"#, json!({"bucket": "b"})),
            ("cache_dir", "/x y", json!("/x y")),
        ] {
            assert_eq!(of(name, text).unwrap(), value, "{name}={text}");
        }
        for (name, text) in [
            ("max_entries", "0"),
            ("max_entries", "+5"),
            ("max_entries", "5.0"),
            ("max_cache_size_mb", "nan"),
            ("max_cache_size_mb", " 5"),
            ("max_cache_size_mb", "-1"),
            ("read_only", "yes"),
            ("eviction_policy", "best"),
            ("shard_chars", "5"),
            ("inline_threshold_bytes", "none"),
            ("custom_signed_fields", "colour"),
            ("blob_backend_options", "bucket=b"),
            ("object_metadata", "{5: 1}"),
        ] {
            let error = of(name, text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("CACHENESS_") && error.to_string().contains(text.trim()), "{error}");
            assert!(error.hint().unwrap().starts_with("give "), "{error:?}");
        }
        let error = of("object_metadata", "hush").unwrap_err();
        assert!(error.to_string().contains("hush"));
        let secret = options().iter().find(|option| option.name == "secret_key").unwrap();
        assert!(secret.of_text("hush").is_ok());
    }
}
