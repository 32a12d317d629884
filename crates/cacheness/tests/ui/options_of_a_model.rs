use cacheness::prelude::*;

#[derive(MetadataModel)]
#[metadata(table = "cache_entries")]
struct OfTheStore {
    x: f64,
}

#[derive(MetadataModel)]
#[metadata(name = "custom_runs")]
struct WrongOption {
    x: f64,
}

#[derive(MetadataModel)]
struct WrongFieldOption {
    #[metadata(indexed)]
    x: f64,
}

#[derive(MetadataModel)]
struct Owner {
    cache_key: String,
}

#[derive(MetadataModel)]
struct Generated {
    id: i64,
}

#[derive(MetadataModel)]
struct Twice {
    a: f64,
    #[metadata(rename = "A")]
    b: f64,
}

#[derive(MetadataModel)]
struct Skipped {
    #[metadata(skip, index)]
    a: f64,
}

#[derive(MetadataModel)]
#[metadata(unique(a, c))]
struct NoSuchField {
    a: f64,
}

#[derive(MetadataModel)]
struct Borrowed<'a> {
    name: &'a str,
}

#[derive(MetadataModel)]
struct Pair(f64, f64);

#[derive(MetadataModel)]
enum Either {
    One,
    Other,
}

fn main() {}

//~ the name belongs to the store: begin it with `custom_`
//~ no such option here; the options are `table = "…"`, `index(a, b)` and `unique(a, b)`
//~ no such option here; the options are `index`, `unique`, `primary_key`, `default`, `default = …`, `rename = "…"` and `skip`
//~ every table has the column `cache_key`, which refers to the entry: leave the field out
//~ a table without a primary key has the column `id`, which the database fills: leave the field out
//~ two columns have the name `A`
//~ the field is skipped, so it has no column
//~ no field `c` is a column
//~ a model has neither lifetimes nor parameters: its table has one set of columns, of owned values
//~ a model is a struct with named fields: each is a column of its table
