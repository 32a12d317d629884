//! `cacheness config`

use std::io::Write;

use cacheness::config::{ConfigOption, nearest, options, schema};
use serde_json::{Value, json};

use crate::args::Config;
use crate::failure::Failure;
use crate::output::{Output, printable, say};
use crate::place::Directory;
use crate::show;
use crate::table::{Column, Table};
use crate::terminal;

/// A setting, its value and its source.
type Setting = (String, Value, String);

/// Variables that set no option of their own.
const OTHERS: [&str; 3] = ["CACHENESS_CONFIG", STORE, BLOBS];
const STORE: &str = "CACHENESS_STORE";
const BLOBS: &str = "CACHENESS_BLOBS";

/// Prints the JSON Schema, which no store is needed for.
pub(crate) fn print_schema(out: &mut Output) -> Result<(), Failure> {
    writeln!(out, "{:#}", schema())?;
    Ok(())
}

pub(crate) fn run(args: &Config, directory: &Directory, out: &mut Output) -> Result<(), Failure> {
    let mut settings: Vec<Setting> = Vec::new();
    let source = directory.source.words();
    match directory.path() {
        Some(path) => {
            let absolute = std::path::absolute(path).map_err(|e| Failure::file("find", path, e))?;
            settings.push(("cache_dir".into(), json!(absolute.display().to_string()), source.into()));
        }
        None => settings.push(("cache_dir".into(), Value::Null, source.into())),
    }
    if !args.show_origin {
        // Settings are shown only for a readable store; it is closed again at once.
        let store = directory.read()?;
        let recorded = directory.path().map(cacheness::describe).transpose().ok().flatten();
        let manifest = || "cacheness.toml".to_owned();
        if let Some(recorded) = &recorded {
            settings.push(("format".into(), json!(recorded.format), manifest()));
            settings.push(("written_by".into(), json!(recorded.written_by), manifest()));
        }
        let of_backend = || if recorded.is_some() { manifest() } else { source.to_owned() };
        settings.push(("metadata_backend".into(), json!(store.metadata().name()), of_backend()));
        settings.push(("blob_backend".into(), json!(store.blobs().name()), of_backend()));
    }
    let builder = directory.builder();
    let is_shown = |option: &&ConfigOption| {
        let is_above =
            option.name == "cache_dir" || (!args.show_origin && matches!(option.name, "backend" | "blob_backend"));
        // An option of a backend has a default of its backend, which only that knows.
        !is_above && (!option.is_of_backend() || builder.settings().value(option.name).is_some())
    };
    let store = directory.store_config();
    settings.extend(options().iter().filter(is_shown).map(|option| {
        // What a URL says is no setting of its own.
        let of_url = match option.name {
            "backend" => store.metadata_backend.clone(),
            "database_url" => store.database_url.as_ref().map(ToString::to_string),
            "blob_backend" => store.blob_backend.as_ref().map(ToString::to_string),
            _ => None,
        };
        let (value, origin) = builder.settings().shown(option);
        let is_of_variable = directory.source.words() == STORE && option.name == "blob_backend";
        match of_url.filter(|given| value != given.as_str()) {
            Some(given) if is_of_variable => (option.full_name(), given.into(), BLOBS.into()),
            Some(given) => (option.full_name(), given.into(), source.into()),
            None => (option.full_name(), value, origin.to_string()),
        }
    }));
    if args.json {
        let map: serde_json::Map<_, _> = settings
            .into_iter()
            .map(|(name, value, source)| (name, json!({ "value": value, "source": source })))
            .collect();
        writeln!(out, "{:#}", Value::Object(map))?;
    } else {
        let columns = [Column::new("SETTING"), Column::new("VALUE").shortened_to(8), Column::new("FROM").left_out(1)];
        let mut table = Table::new(columns.to_vec());
        for (name, value, source) in &settings {
            table.push(vec![name.clone(), show::value(value), printable(source)]);
        }
        table.print(terminal::width(), out)?;
    }
    out.flush()?;
    name_others();
    Ok(())
}

/// Names environment variables that are meant for an option and set none.
fn name_others() {
    let known: Vec<String> = options().iter().map(ConfigOption::variable).collect();
    let is_known = |name: &str| OTHERS.contains(&name) || known.iter().any(|known| known == name);
    let given = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut others: Vec<_> = given.filter(|name| name.starts_with("CACHENESS_") && !is_known(name)).collect();
    others.sort();
    for name in others {
        let short = |name: &str| name.trim_start_matches("CACHENESS_").to_lowercase();
        let names: Vec<String> = known.iter().map(|name| short(name)).collect();
        if let Some(near) = nearest(&short(&name), names.iter().map(String::as_str)) {
            say(format_args!("{} sets no option: did you mean CACHENESS_{}?", printable(&name), near.to_uppercase()));
        }
    }
}
