use cacheness::ToKey;

#[derive(ToKey)]
struct Misspelt {
    #[key(skipp)]
    verbose: bool,
}

#[derive(ToKey)]
#[key(skip)]
struct Misplaced {
    verbose: bool,
}

#[derive(ToKey)]
struct Twice {
    #[key(rename = "b")]
    a: u32,
    b: u32,
}

#[derive(ToKey)]
#[key(transparent)]
struct Transparent {
    a: u32,
    b: u32,
}

#[derive(ToKey)]
struct Empty(#[key(skip)] u32);

#[derive(ToKey)]
union Union {
    a: u32,
    b: f32,
}

fn main() {}

//~ no such option here; the options are `rename = "…"` and `skip`
//~ no such option here; the options are `rename = "…"` and `transparent`
//~ two fields of the key have the name `b`
//~ a transparent struct has one field that is part of the key; skip the others
//~ the key would be empty
//~ a union does not record which of its fields is valid
