//! `cacheness config`

use std::io::Write;

use cacheness::{CacheBuilder, CacheConfig};
use serde_json::{Value, json};

use crate::args::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::place::Directory;
use crate::show;
use crate::table::{Column, Table};
use crate::terminal;

/// A setting, its value and its source.
type Setting = (String, Value, &'static str);

/// The environment variables that set defaults of options.
const VARIABLES: &[(&str, &str)] = &[
    ("limits.max_cache_size_mb", "CACHENESS_MAX_SIZE_MB"),
    ("default_ttl_seconds", "CACHENESS_DEFAULT_TTL_SECONDS"),
    ("store.compression.pickle_compression_codec", "CACHENESS_COMPRESSION_CODEC"),
    ("store.compression.pickle_compression_level", "CACHENESS_COMPRESSION_LEVEL"),
];

pub(crate) fn run(args: &Config, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    // Opens the store, so that settings are shown only for a readable store; it is closed again at once.
    drop(directory.read()?);
    let recorded = cacheness::describe(&directory.path)?;
    let absolute = std::path::absolute(&directory.path).map_err(|e| Failure::file("find", &directory.path, e))?;
    let manifest = "cacheness.toml";
    let mut settings: Vec<Setting> = vec![
        ("cache_dir".into(), json!(absolute.display().to_string()), directory.source.words()),
        ("format".into(), json!(recorded.format), manifest),
        ("written_by".into(), json!(recorded.written_by), manifest),
        ("metadata_backend".into(), json!(recorded.metadata_backend), manifest),
        ("blob_backend".into(), json!(recorded.blob_backend), manifest),
    ];
    let json = |config: &CacheConfig| serde_json::to_value(config).expect("a configuration is valid JSON");
    let builder = CacheBuilder::from_env()?;
    let mut all = Vec::new();
    flatten("", json(builder.options()), &mut all);
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    settings.extend(all.into_iter().map(|(name, value)| {
        let variable = VARIABLES.iter().find(|(option, variable)| *option == name && set(variable));
        (name, value, variable.map_or("default", |(_, variable)| variable))
    }));
    if args.json {
        let map: serde_json::Map<_, _> = settings
            .into_iter()
            .map(|(name, value, source)| (name, json!({ "value": value, "source": source })))
            .collect();
        writeln!(out, "{:#}", Value::Object(map))?;
        return Ok(());
    }
    let columns = [Column::new("SETTING"), Column::new("VALUE").shortened_to(8), Column::new("FROM").left_out(1)];
    let mut table = Table::new(columns.to_vec());
    for (name, value, source) in &settings {
        table.push(vec![name.clone(), show::value(value), (*source).to_owned()]);
    }
    table.print(terminal::width(), out)?;
    Ok(())
}

/// The fields of a configuration under dotted names, without those that the directory decides.
fn flatten(prefix: &str, value: Value, settings: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if prefix == "store" && matches!(name.as_str(), "metadata_backend" | "default_metadata_backend") {
                    continue;
                }
                let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                flatten(&name, value, settings);
            }
        }
        value => settings.push((prefix.to_owned(), value)),
    }
}
