//! `cacheness search [DIR] TEXT`

use cacheness::EntryInfo;
use cacheness::core::backend::Query;

use super::ls::{print_json, print_keys, print_table};
use crate::args::{Search, StoreOptions};
use crate::failure::Failure;
use crate::output::{Output, say};
use crate::place::directory_and_key;

pub(crate) fn run(args: &Search, option: &StoreOptions, out: &mut Output) -> Result<(), Failure> {
    let (directory, text) = directory_and_key(option, &args.words)?;
    let Some(text) = text.to_str() else {
        return Err(Failure::Usage("the text to find is not UTF-8".into(), "give it in UTF-8".into()));
    };
    let store = directory.read()?;
    let now = store.clock().now();
    let selection = args.filters.selection(now);
    let query = Query { prefix: selection.prefix(), filter: Some(selection.filter()), ..Query::default() };
    let found = store.metadata().text_search(text, &query, args.limit)?;
    let found: Vec<EntryInfo> = found.into_iter().map(EntryInfo::from).collect();
    if args.quiet {
        return print_keys(&found, args.null, out);
    }
    if args.json {
        return print_json(&found, out);
    }
    if found.is_empty() {
        say("no entries");
        return Ok(());
    }
    print_table(&found, found.len() as u64, now, out)
}
