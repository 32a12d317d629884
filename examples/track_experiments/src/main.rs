//! Experiments on the data that the Python half (`examples/experiment_tracking.py`) has put: nearest neighbours. They are
//! kept beside those of Python, and asked for together with them.
//!
//! By hand: `python examples/experiment_tracking.py experiments && cargo run -p track_experiments -- experiments`.

use cacheness::ndarray::{Array1, Array2, ArrayView1, Axis};
use cacheness::prelude::*;
use cacheness::serde_json::json;

type Failure = Box<dyn std::error::Error>;

const DATASET: &str = "breast_cancer";

/// A row of the table that the Python half declares with SQLAlchemy.
#[derive(MetadataModel)]
#[metadata(table = "custom_experiments")]
struct Experiment {
    #[metadata(unique)]
    name: String,
    #[metadata(index)]
    model_type: Option<String>,
    #[metadata(index)]
    accuracy: Option<f64>,
    folds: Option<i32>,
}

fn main() -> Result<(), Failure> {
    let directory = std::env::args_os().nth(1).ok_or("usage: track_experiments STORE")?;
    let cache = Cache::open(directory)?;
    let ran = run(&cache)?;
    println!("ran {ran} experiments");

    println!("The best three, by a filter:");
    for entry in cache.find(field("tags").eq(DATASET)).sort("-accuracy").limit(3).entries()? {
        let metadata = entry.metadata();
        println!("  {:30} {:.4}", entry.call(), metadata["accuracy"].as_f64().unwrap_or(f64::NAN));
    }

    println!("Of this program, with more than one neighbour:");
    let several = field("model.type").eq("neighbours") & field("model.k").gt(1);
    println!("  {} experiments", cache.find(several).count()?);

    println!("Words of the description:");
    println!("  {} experiments", cache.find(field("accuracy").ge(0.9)).limit(20).search("measurements")?.len());

    println!("Of both programs, the best typed row of each type:");
    let rows = cache.query::<Experiment>();
    for kind in ["logistic", "tree", "neighbours"] {
        let of_kind = rows.clone().filter(Experiment::model_type().eq(kind));
        let best = of_kind.order_by(Experiment::accuracy().desc()).limit(1).all()?.remove(0);
        let accuracy = best.accuracy.unwrap_or(f64::NAN);
        println!("  {:15} {accuracy:.4}, {} folds", best.name, best.folds.unwrap_or_default());
    }

    println!("Types of models, by SQL:");
    let by_type = "SELECT metadata ->> '$.model.type' AS type, count(*) AS n, max(metadata ->> 'accuracy') AS best \
                   FROM entries WHERE metadata ->> 'accuracy' IS NOT NULL GROUP BY type ORDER BY best DESC";
    for row in cache.query_meta(by_type, ())? {
        let row = row?;
        println!("  {:10} {} {:.4}", row.get::<String>("type")?, row.get::<u32>("n")?, row.get::<f64>("best")?);
    }
    cache.close()?;
    Ok(())
}

/// Runs the experiments that the store does not have yet; returns how many.
fn run(cache: &Cache) -> Result<usize, Failure> {
    let missing = "not in the store: run examples/experiment_tracking.py first";
    let inputs: Array2<f64> = cache.get(params! { dataset: DATASET, part: "inputs" })?.ok_or(missing)?;
    let targets: Array1<i64> = cache.get(params! { dataset: DATASET, part: "targets" })?.ok_or(missing)?;
    let inputs = standardised(inputs);
    let mut ran = 0;
    for k in [1_usize, 5, 15] {
        let name = format!("neighbours-{k}");
        let key = params! { experiment: name.clone() };
        if cache.exists(&key)? {
            continue;
        }
        ran += 1;
        let predicted = leave_one_out(&inputs, &targets, k);
        let right = predicted.iter().zip(&targets).filter(|(one, other)| one == other).count();
        let accuracy = right as f64 / targets.len() as f64;
        let options = PutOptions::new()
            .description(format!("{k} nearest neighbours on all 30 measurements, leaving one out"))
            .metadata(json!({ "model": { "type": "neighbours", "k": k }, "accuracy": accuracy }))
            .tags([DATASET, "rust"])
            .custom_metadata([&Experiment {
                name,
                model_type: Some("neighbours".into()),
                accuracy: Some(accuracy),
                folds: i32::try_from(targets.len()).ok(),
            }]);
        cache.put_with(&predicted, &key, options)?;
    }
    Ok(ran)
}

/// Columns with the mean 0 and the variance 1.
fn standardised(mut inputs: Array2<f64>) -> Array2<f64> {
    for mut column in inputs.axis_iter_mut(Axis(1)) {
        let mean = column.mean().unwrap_or(0.0);
        let deviation = column.std(0.0);
        column.mapv_inplace(|value| if deviation > 0.0 { (value - mean) / deviation } else { 0.0 });
    }
    inputs
}

/// For each row, what most of its `k` nearest neighbours are, of two classes 0 and 1.
fn leave_one_out(inputs: &Array2<f64>, targets: &Array1<i64>, k: usize) -> Array1<i64> {
    let distance = |one: ArrayView1<'_, f64>, other: ArrayView1<'_, f64>| -> f64 {
        one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum()
    };
    Array1::from_shape_fn(targets.len(), |row| {
        let mut others: Vec<(f64, i64)> = (0..targets.len())
            .filter(|other| *other != row)
            .map(|other| (distance(inputs.row(row), inputs.row(other)), targets[other]))
            .collect();
        others.sort_by(|one, other| one.0.total_cmp(&other.0));
        let votes: i64 = others.iter().take(k).map(|(_, class)| class).sum();
        i64::from(2 * votes > k as i64)
    })
}
