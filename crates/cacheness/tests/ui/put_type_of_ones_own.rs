use cacheness::prelude::*;

struct Report {
    accuracy: f64,
}

fn main() -> cacheness::Result<()> {
    let cache = Cache::open("cache")?;
    cache.put(Report { accuracy: 0.5 }, params! { by: "value" })?;
    cache.put(&Report { accuracy: 0.5 }, params! { by: "reference" })?;
    cache.put(vec![Report { accuracy: 0.5 }], params! { by: "parts" })?;
    Ok(())
}

//~ `Report` cannot be stored in a cache as plain data
//~ `&Report` cannot be stored in a cache
//~ a type of your own: `#[derive(cacheness::Plain)]` beside serde's `Serialize` and `Deserialize`
//~ wrap the value, `cacheness::Serde(value)`
