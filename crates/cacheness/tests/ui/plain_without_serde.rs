use cacheness::Plain;

#[derive(Plain)]
struct Report {
    accuracy: f64,
}

fn main() {}

//~ `Report` is `Plain` only if serde can write and read it
//~ `#[derive(serde::Serialize, serde::Deserialize, cacheness::Plain)]`
//~ and `#[serde(crate = "cacheness::serde")]`
