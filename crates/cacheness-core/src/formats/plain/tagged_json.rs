//! User metadata as JSON that SQL can query, and exactly back: `docs/formats/metadata.md`.
//!
//! Values with a JSON type are written as such; every other plain value is an object with a tag, a key that starts with one
//! `$`. A user's key that starts with `$` gets one more.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Number, Value as Json};

use super::ext::{is_big_int, is_decimal, is_dtype, is_zone_name, shortest};
use super::{DateTime, NumpyArray, NumpyScalar, Time, TimeDelta, Value, Zone, calendar, uuid};
use crate::error::{Error, ErrorKind, Result};

/// The maximum nesting of metadata; tags add levels of JSON, of which parsers allow 128.
pub const MAX_DEPTH: usize = 32;

/// The bits of the NaN that is written as its name.
const NAN: u64 = 0x7ff8_0000_0000_0000;

fn invalid(path: &Path<'_>, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Serialization, format!("{path} cannot be stored as JSON: {what}"))
}

/// A path in the metadata, for messages: `metadata["a"][2]`.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    fn then(&'a self, step: Step<'a>) -> Self {
        Path { parent: Some(self), step }
    }

    fn depth(&self) -> usize {
        self.parent.map_or(0, |parent| parent.depth() + 1)
    }
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => f.write_str("metadata"),
            Step::Key(key) => write!(f, "[{key:?}]"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// The JSON object of a map whose keys are strings.
///
/// # Errors
/// [`ErrorKind::Serialization`] if it is not such a map, is nested deeper than 32 levels, or holds a value that breaks a rule
/// of its type; the message names the place.
pub fn to_json(metadata: &Value) -> Result<String> {
    let Value::Map(pairs) = metadata else {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("metadata must be a mapping with string keys, not a {}", metadata.type_name()),
        ));
    };
    let path = Path::ROOT;
    if let Some((key, _)) = pairs.iter().find(|(key, _)| key.as_str().is_none()) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("metadata has a key of type {}; its keys must be strings", key.type_name()),
        ));
    }
    let json = encode(metadata, &path)?;
    serde_json::to_string(&json).map_err(|e| invalid(&path, "it cannot be written").with_source(e))
}

fn tagged(tag: &str, content: Json) -> Map<String, Json> {
    Map::from_iter([(tag.to_owned(), content)])
}

fn object(tag: &str, content: impl Into<Json>) -> Json {
    Json::Object(tagged(tag, content.into()))
}

fn float(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value == f64::INFINITY => object("$float", "inf"),
        None if value == f64::NEG_INFINITY => object("$float", "-inf"),
        None if value.to_bits() == NAN => object("$float", "nan"),
        None => object("$float", format!("nan:{:016x}", value.to_bits())),
    }
}

fn items(values: &[Value], path: &Path<'_>) -> Result<Json> {
    let items = values.iter().enumerate().map(|(i, item)| encode(item, &path.then(Step::Index(i))));
    items.collect::<Result<Vec<_>>>().map(Json::Array)
}

fn clock(tag: &str, text: Option<String>, fold: bool, zone: &Zone, path: &Path<'_>) -> Result<Json> {
    let mut text = text.ok_or_else(|| invalid(path, "it is a time out of range"))?;
    let mut more = Vec::new();
    if fold {
        more.push(("fold", Json::from(1)));
    }
    match zone {
        Zone::Naive => {}
        Zone::Fixed { offset, name } => {
            let offset = calendar::format_offset(*offset);
            text += &offset.ok_or_else(|| invalid(path, "its offset from UTC is a day or more"))?;
            if let Some(name) = name {
                more.push(("name", Json::from(name.as_str())));
            }
        }
        Zone::Named(name) if is_zone_name(name) => more.push(("zone", Json::from(name.as_str()))),
        Zone::Named(name) => return Err(invalid(path, format_args!("{name:?} is not a name of a time zone"))),
    }
    let mut fields = tagged(tag, Json::from(text));
    fields.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    Ok(Json::Object(fields))
}

fn big_int(bytes: &[u8]) -> Json {
    let hex = bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    });
    object("$int", format!("0x{hex}"))
}

#[allow(clippy::too_many_lines)]
fn encode(value: &Value, path: &Path<'_>) -> Result<Json> {
    if path.depth() > MAX_DEPTH {
        return Err(Error::new(ErrorKind::Serialization, format!("metadata is nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(match value {
        Value::None => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::UInt(value) => match i64::try_from(*value) {
            Ok(value) => Json::from(value),
            Err(_) => object("$int", value.to_string()),
        },
        Value::BigInt(bytes) if is_big_int(bytes) => big_int(bytes),
        Value::BigInt(_) => return Err(invalid(path, "it is a big integer that is not in shortest form")),
        Value::Float(value) => float(*value),
        Value::Complex(real, imaginary) => object("$complex", vec![float(*real), float(*imaginary)]),
        Value::Str(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => object("$bytes", BASE64.encode(bytes)),
        Value::ByteArray(bytes) => object("$bytearray", BASE64.encode(bytes)),
        Value::List(values) => items(values, path)?,
        Value::Tuple(values) => object("$tuple", items(values, path)?),
        Value::Set(values) => object("$set", items(values, path)?),
        Value::FrozenSet(values) => object("$frozenset", items(values, path)?),
        Value::Map(pairs) if pairs.iter().all(|(key, _)| key.as_str().is_some()) => {
            let mut fields = Map::with_capacity(pairs.len());
            for (key, value) in pairs {
                let key = key.as_str().expect("all keys are strings");
                let name = if key.starts_with('$') { format!("${key}") } else { key.to_owned() };
                if fields.insert(name, encode(value, &path.then(Step::Key(key)))?).is_some() {
                    return Err(invalid(path, format_args!("it has the duplicate key {key:?}")));
                }
            }
            Json::Object(fields)
        }
        Value::Map(pairs) => {
            let mut all = Vec::with_capacity(pairs.len());
            for (i, (key, value)) in pairs.iter().enumerate() {
                let path = path.then(Step::Index(i));
                if !key.is_hashable() {
                    return Err(invalid(&path, format_args!("a {} cannot be a key", key.type_name())));
                }
                all.push(Json::Array(vec![encode(key, &path)?, encode(value, &path)?]));
            }
            object("$map", all)
        }
        Value::DateTime(DateTime { micros, fold, zone }) => {
            clock("$datetime", calendar::format_datetime(*micros), *fold, zone, path)?
        }
        Value::Time(Time { zone: Zone::Named(_), .. }) => {
            return Err(invalid(path, "the zone of a time is not a fixed offset"));
        }
        Value::Time(Time { micros, fold, zone }) => clock("$time", calendar::format_time(*micros), *fold, zone, path)?,
        Value::Date(days) => {
            let text = calendar::format_date(*days).ok_or_else(|| invalid(path, "it is a date out of range"))?;
            object("$date", text)
        }
        Value::TimeDelta(delta) if delta.is_valid() => {
            object("$timedelta", vec![delta.days, delta.seconds, delta.micros])
        }
        Value::TimeDelta(_) => return Err(invalid(path, "it is a timedelta that is not normalized or out of range")),
        Value::Decimal(text) if is_decimal(text) => object("$decimal", text.as_str()),
        Value::Decimal(_) => return Err(invalid(path, "it is a Decimal that is not a number")),
        Value::Uuid(bytes) => object("$uuid", uuid::format(bytes)),
        Value::Path(text) => object("$path", text.as_str()),
        Value::Dtype(text) if is_dtype(text) => object("$dtype", text.as_str()),
        Value::Dtype(_) => return Err(invalid(path, "it is a dtype of neither NumPy nor pandas")),
        Value::Range(parts) => object("$range", items(&**parts, path)?),
        Value::NumpyScalar(NumpyScalar { dtype, data }) => {
            let mut fields = tagged("$numpy", Json::from(dtype.as_str()));
            match super::numpy::to_number(dtype, data) {
                Some(number) => fields.insert("value".into(), number),
                None => fields.insert("data".into(), Json::from(BASE64.encode(data))),
            };
            Json::Object(fields)
        }
        Value::NumpyArray(NumpyArray { dtype, shape, fortran, data }) => {
            let mut fields = tagged("$ndarray", Json::from(dtype.as_str()));
            fields.insert("shape".into(), Json::from(shape.clone()));
            fields.insert("order".into(), Json::from(if *fortran { "F" } else { "C" }));
            fields.insert("data".into(), Json::from(BASE64.encode(data)));
            Json::Object(fields)
        }
    })
}

/// The map of a result of [`to_json`], or of another JSON object.
///
/// # Errors
/// [`ErrorKind::Serialization`] if it is not a JSON object, or if an object has a tag that is unknown or does not fit its
/// content; the message names the place.
pub fn from_json(json: &str) -> Result<Value> {
    let parsed: Json = serde_json::from_str(json)
        .map_err(|e| Error::new(ErrorKind::Serialization, "metadata is not valid JSON").with_source(e))?;
    if !parsed.is_object() {
        return Err(Error::new(ErrorKind::Serialization, "metadata is not a JSON object"));
    }
    match decode(parsed, &Path::ROOT)? {
        map @ Value::Map(_) => Ok(map),
        other => Err(Error::new(ErrorKind::Serialization, format!("metadata is a {}, not a map", other.type_name()))),
    }
}

/// One value of the map: the value of `json` under `name`.
pub(crate) fn value_from_json(json: &str, name: &str) -> Result<Value> {
    let root = Path::ROOT;
    let path = root.then(Step::Key(name));
    let parsed = serde_json::from_str(json)
        .map_err(|e| Error::new(ErrorKind::Serialization, format!("{path} is not valid JSON")).with_source(e))?;
    decode(parsed, &path)
}

/// The value of any JSON, outside of metadata.
pub(crate) fn value_of(json: Json) -> Result<Value> {
    decode(json, &Path { parent: None, step: Step::Key("…") })
}

/// The JSON of any value, outside of metadata.
pub(crate) fn json_of(value: &Value) -> Result<Json> {
    encode(value, &Path { parent: None, step: Step::Key("…") })
}

/// Whether an object's key is one of the tags.
pub(crate) fn is_tag(key: &str) -> bool {
    const TAGS: [&str; 20] = [
        "$tuple",
        "$set",
        "$frozenset",
        "$map",
        "$bytes",
        "$bytearray",
        "$float",
        "$int",
        "$complex",
        "$datetime",
        "$time",
        "$date",
        "$timedelta",
        "$decimal",
        "$uuid",
        "$path",
        "$dtype",
        "$range",
        "$numpy",
        "$ndarray",
    ];
    TAGS.contains(&key)
}

fn malformed(path: &Path<'_>, tag: &str) -> Error {
    Error::new(ErrorKind::Serialization, format!("{path} does not match its tag {tag:?}"))
}

fn decode(json: Json, path: &Path<'_>) -> Result<Value> {
    let fields = match json {
        Json::Array(items) => return decode_items(items, path).map(Value::List),
        Json::Object(fields) => fields,
        other => return Ok(Value::from(other)),
    };
    let is_tag = |key: &str| key.starts_with('$') && !key.starts_with("$$");
    if let Some(tag) = fields.keys().find(|key| is_tag(key)).cloned() {
        let value = decode_tagged(&tag, fields, path)?;
        check(&value).map_err(|e| malformed(path, &tag).with_source(e))?;
        return Ok(value);
    }
    let mut pairs = Vec::with_capacity(fields.len());
    for (key, value) in fields {
        let value = decode(value, &path.then(Step::Key(&key)))?;
        // A key with one more `$` than the user's.
        let name = key.strip_prefix('$').map(str::to_owned).unwrap_or(key);
        pairs.push((Value::Str(name), value));
    }
    Ok(Value::Map(pairs))
}

/// Refuses values that break a rule of their type: writing checks the parts, reading checks for equal keys and members.
fn check(value: &Value) -> Result<()> {
    let mut encoding = Vec::new();
    value.encode(&mut encoding)?;
    if matches!(value, Value::Set(_) | Value::FrozenSet(_) | Value::Map(_)) {
        Value::decode(&encoding)?;
    }
    Ok(())
}

fn decode_items(items: Vec<Json>, path: &Path<'_>) -> Result<Vec<Value>> {
    items.into_iter().enumerate().map(|(i, item)| decode(item, &path.then(Step::Index(i)))).collect()
}

/// The fields of a tagged object, taken one by one.
struct Fields<'a> {
    fields: Map<String, Json>,
    tag: &'a str,
    path: &'a Path<'a>,
}

impl Fields<'_> {
    fn error(&self) -> Error {
        malformed(self.path, self.tag)
    }

    fn optional_text(&mut self, name: &str) -> Result<Option<String>> {
        match self.fields.swap_remove(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error()),
        }
    }

    fn text(&mut self, name: &str) -> Result<String> {
        self.optional_text(name)?.ok_or_else(|| self.error())
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>> {
        let text = self.text(name)?;
        BASE64.decode(text).map_err(|e| self.error().with_source(e))
    }

    fn items(&mut self, name: &str) -> Result<Vec<Json>> {
        match self.fields.swap_remove(name) {
            Some(Json::Array(items)) => Ok(items),
            _ => Err(self.error()),
        }
    }

    fn values(&mut self, name: &str) -> Result<Vec<Value>> {
        let items = self.items(name)?;
        decode_items(items, self.path)
    }

    fn fold(&mut self) -> Result<bool> {
        match self.fields.swap_remove("fold") {
            None => Ok(false),
            Some(fold) if fold == 1 => Ok(true),
            Some(_) => Err(self.error()),
        }
    }

    /// The wall clock and the zone of a datetime or time.
    fn clock(&mut self, parse: fn(&str) -> Option<i64>) -> Result<(i64, bool, Zone)> {
        let text = self.text(self.tag)?;
        let fold = self.fold()?;
        let zone = self.optional_text("zone")?;
        let name = self.optional_text("name")?;
        // Dates have a minus as well: an offset follows the time, which is the last to have a colon of its own.
        let time = text.find('T').map_or(0, |t| t + 1);
        let split = text[time..].find(['+', '-']).map(|at| time + at);
        let (wall, zone) = match (split, zone, name) {
            (None, None, None) => (text.as_str(), Zone::Naive),
            (None, Some(zone), None) => (text.as_str(), Zone::Named(zone)),
            (Some(at), None, name) => {
                let offset = calendar::parse_offset(&text[at..]).ok_or_else(|| self.error())?;
                (&text[..at], Zone::Fixed { offset, name })
            }
            _ => return Err(self.error()),
        };
        Ok((parse(wall).ok_or_else(|| self.error())?, fold, zone))
    }

    fn finish(&self) -> Result<()> {
        if self.fields.is_empty() { Ok(()) } else { Err(self.error()) }
    }
}

fn decode_tagged(tag: &str, fields: Map<String, Json>, path: &Path<'_>) -> Result<Value> {
    let mut fields = Fields { fields, tag, path };
    let value = match tag {
        "$tuple" => Value::Tuple(fields.values(tag)?),
        "$set" => Value::Set(fields.values(tag)?),
        "$frozenset" => Value::FrozenSet(fields.values(tag)?),
        "$map" => {
            let pair = |pair: Value| match pair {
                Value::List(pair) => <[Value; 2]>::try_from(pair).ok().map(|[key, value]| (key, value)),
                _ => None,
            };
            let pairs: Option<Vec<_>> = fields.values(tag)?.into_iter().map(pair).collect();
            Value::Map(pairs.ok_or_else(|| fields.error())?)
        }
        "$bytes" => Value::Bytes(fields.bytes(tag)?),
        "$bytearray" => Value::ByteArray(fields.bytes(tag)?),
        "$float" => {
            let text = fields.text(tag)?;
            Value::Float(parse_float(&text).ok_or_else(|| fields.error())?)
        }
        "$int" => {
            let text = fields.text(tag)?;
            parse_int(&text).ok_or_else(|| fields.error())?
        }
        "$complex" => match fields.values(tag)?.as_slice() {
            [Value::Float(real), Value::Float(imaginary)] => Value::Complex(*real, *imaginary),
            _ => return Err(fields.error()),
        },
        "$datetime" => {
            let (micros, fold, zone) = fields.clock(calendar::parse_datetime)?;
            Value::DateTime(DateTime { micros, fold, zone })
        }
        "$time" => {
            let (micros, fold, zone) = fields.clock(calendar::parse_time)?;
            Value::Time(Time { micros, fold, zone })
        }
        "$date" => {
            let text = fields.text(tag)?;
            Value::Date(calendar::parse_date(&text).ok_or_else(|| fields.error())?)
        }
        "$timedelta" => {
            let parts: Option<Vec<i32>> =
                fields.items(tag)?.iter().map(|part| part.as_i64().and_then(|part| part.try_into().ok())).collect();
            match parts.as_deref() {
                Some(&[days, seconds, micros]) => Value::TimeDelta(TimeDelta { days, seconds, micros }),
                _ => return Err(fields.error()),
            }
        }
        "$decimal" => Value::Decimal(fields.text(tag)?),
        "$uuid" => {
            let text = fields.text(tag)?;
            Value::Uuid(uuid::parse(&text).ok_or_else(|| fields.error())?)
        }
        "$path" => Value::Path(fields.text(tag)?),
        "$dtype" => {
            let text = fields.text(tag)?;
            if !is_dtype(&text) {
                return Err(fields.error());
            }
            Value::Dtype(text)
        }
        "$range" => {
            let parts = <[Value; 3]>::try_from(fields.values(tag)?).map_err(|_| fields.error())?;
            Value::Range(Box::new(parts))
        }
        "$numpy" => {
            let dtype = fields.text(tag)?;
            let data = match fields.fields.swap_remove("value") {
                Some(number) => super::numpy::from_number(&dtype, &number).ok_or_else(|| fields.error())?,
                None => fields.bytes("data")?,
            };
            Value::NumpyScalar(NumpyScalar { dtype, data })
        }
        "$ndarray" => {
            let dtype = fields.text(tag)?;
            let shape: Option<Vec<u64>> = fields.items("shape")?.iter().map(Json::as_u64).collect();
            let shape = shape.ok_or_else(|| fields.error())?;
            let fortran = match fields.text("order")?.as_str() {
                "C" => false,
                "F" => true,
                _ => return Err(fields.error()),
            };
            Value::NumpyArray(NumpyArray { dtype, shape, fortran, data: fields.bytes("data")? })
        }
        unknown => {
            return Err(Error::new(ErrorKind::Serialization, format!("{path} has the unknown tag {unknown:?}"))
                .with_hint("write a key that starts with $ with one more $"));
        }
    };
    fields.finish()?;
    Ok(value)
}

fn parse_float(text: &str) -> Option<f64> {
    match text {
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::from_bits(NAN)),
        _ => {
            let bits = text.strip_prefix("nan:").filter(|bits| bits.len() == 16 && !bits.starts_with('+'))?;
            Some(f64::from_bits(u64::from_str_radix(bits, 16).ok()?)).filter(|value| value.is_nan())
        }
    }
}

fn parse_int(text: &str) -> Option<Value> {
    let Some(hex) = text.strip_prefix("0x") else {
        return text.parse::<u64>().ok().filter(|&value| i64::try_from(value).is_err()).map(Value::UInt);
    };
    if !hex.len().is_multiple_of(2) || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).ok();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    (shortest(&bytes).len() == bytes.len() && is_big_int(&bytes)).then_some(Value::BigInt(bytes))
}

impl<S: AsRef<str>, D: AsRef<[u8]>> NumpyScalar<S, D> {
    /// The nearest JSON in readable form; `None` for items without an equivalent: `NumPy`'s times, records, invalid texts.
    #[must_use]
    pub fn to_display_json(&self) -> Option<Json> {
        super::numpy::to_display(self.dtype.as_ref(), self.data.as_ref())
    }
}

impl Value {
    /// The nearest JSON in readable form, for listings: without tags, so types are lost. Tuples and sets are arrays, keys are
    /// their text, NaN is its name, bytes are base 64, times ISO 8601. An array is its dtype and shape, and of several keys
    /// with the same text only the last is kept.
    #[must_use]
    pub fn to_display_json(&self) -> Json {
        let list = |items: &[Self]| Json::Array(items.iter().map(Self::to_display_json).collect());
        match self {
            Self::List(items) | Self::Tuple(items) | Self::Set(items) | Self::FrozenSet(items) => list(items),
            Self::Map(pairs) => Json::Object(
                pairs
                    .iter()
                    .map(|(key, value)| {
                        let key = match key.to_display_json() {
                            Json::String(text) => text,
                            other => other.to_string(),
                        };
                        (key, value.to_display_json())
                    })
                    .collect(),
            ),
            Self::Float(value) if !value.is_finite() => Json::from(value.to_string()),
            Self::DateTime(DateTime { micros, zone, .. }) => {
                Json::from(calendar::format_datetime(*micros).unwrap_or_default() + &zone.to_text())
            }
            Self::Time(Time { micros, zone, .. }) => {
                Json::from(calendar::format_time(*micros).unwrap_or_default() + &zone.to_text())
            }
            Self::TimeDelta(delta) => Json::from(delta.as_secs_f64()),
            Self::NumpyScalar(scalar) => {
                scalar.to_display_json().unwrap_or_else(|| Json::from(format!("scalar {}", scalar.dtype)))
            }
            Self::NumpyArray(array) => Json::from(format!("array {} {:?}", array.dtype, array.shape)),
            // The content of a tag without the tag.
            _ => match encode(self, &Path::ROOT) {
                Ok(Json::Object(fields)) => fields.into_iter().next().map_or(Json::Null, |(_, content)| content),
                Ok(json) => json,
                Err(error) => Json::from(error.to_string()),
            },
        }
    }
}
