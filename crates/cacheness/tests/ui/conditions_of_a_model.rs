use cacheness::prelude::*;

#[derive(MetadataModel)]
struct Experiment {
    accuracy: f64,
    name: Option<String>,
    config: cacheness::serde_json::Value,
}

#[derive(MetadataModel)]
struct Timing {
    seconds: f64,
}

struct Other;

fn main() -> cacheness::Result<()> {
    let cache = Cache::open("cache")?;
    let query = || cache.query::<Experiment>();
    query().filter(Experiment::accurracy().ge(0.9)).all()?;
    query().filter(Experiment::accuracy().ge("0.9")).all()?;
    query().filter(Experiment::name().eq(5)).all()?;
    query().filter(Timing::seconds().lt(1.0)).all()?;
    query().filter(Experiment::config().eq(cacheness::serde_json::json!({}))).all()?;
    query().avg(Experiment::name())?;
    cache.query::<Other>().all()?;
    cache.put_with(&1, params! { x: 1 }, &[&Other])?;
    Ok(())
}

//~ named `accurracy` found for struct `Experiment` in the current scope
//~ there is an associated function `accuracy` with a similar name
//~ a column of `f64` is not compared with `&str`
//~ a column of `std::string::String` is not compared with `{integer}`
//~ the query does not read the model `Timing`
//~ read it beside the others: `.join::<Timing>()`
//~ columns of `cacheness::serde_json::Value` are not compared
//~ columns of `std::string::String` have no average
//~ `Other` is no model of typed metadata
//~ a struct of your own: `#[derive(cacheness::MetadataModel)]`
