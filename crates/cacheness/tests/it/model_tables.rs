//! Tables of models: how they grow, and that both languages use the same ones.

use cacheness::prelude::*;
use cacheness::serde_json::{Value, json};
use cacheness::{ErrorKind, ModelRow, Timestamp};

use crate::models::{RunTiming, cache, experiment, open, put};
use crate::python::python;

/// The same table as its model grows.
mod grown {
    use cacheness::{MetadataModel, Timestamp};

    #[derive(Debug, PartialEq, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    #[metadata(index(accuracy, seed))]
    pub(super) struct Experiment {
        #[metadata(unique)]
        pub(super) name: String,
        #[metadata(index)]
        pub(super) accuracy: f64,
        pub(super) epochs: Option<u32>,
        pub(super) note: Option<String>,
        #[metadata(default = 42, index)]
        pub(super) seed: u64,
        #[metadata(default = "ридж")]
        pub(super) model: String,
        #[metadata(default)]
        pub(super) flag: bool,
        #[metadata(default = Timestamp(0))]
        pub(super) since: Timestamp,
    }

    #[derive(Debug, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    pub(super) struct WithoutDefault {
        pub(super) name: String,
        pub(super) rate: f64,
    }

    #[derive(Debug, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    pub(super) struct OfAnotherType {
        pub(super) name: Vec<u8>,
    }

    #[derive(Debug, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    pub(super) struct Optional {
        pub(super) accuracy: Option<f64>,
    }

    #[derive(Debug, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    pub(super) struct Keyed {
        #[metadata(primary_key)]
        pub(super) name: String,
    }

    /// Fewer columns.
    #[derive(Debug, PartialEq, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    pub(super) struct Names {
        pub(super) name: String,
    }
}

#[test]
fn a_table_grows_with_its_model() {
    let (dir, cache, _) = cache();
    put(&cache, 0, &experiment("old", 0.5)).unwrap();
    let old = grown::Experiment {
        name: "old".into(),
        accuracy: 0.5,
        epochs: None,
        note: None,
        seed: 42,
        model: "ридж".into(),
        flag: false,
        since: Timestamp(0),
    };
    assert_eq!(cache.query::<grown::Experiment>().all().unwrap(), [old]);
    // The former model goes on, in this process and another.
    put(&cache, 1, &experiment("new", 0.6)).unwrap();
    put(&open(dir.path()), 2, &experiment("newer", 0.7)).unwrap();
    let flags = cache.query::<grown::Experiment>().filter(grown::Experiment::seed().eq(42_u64));
    assert_eq!(flags.count().unwrap(), 3);
    assert_eq!(cache.query::<grown::Names>().first().unwrap(), Some(grown::Names { name: "old".into() }));
    let error = cache.put_with(&1, params! { x: 1 }, &[&grown::Names { name: "y".into() }]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Constraint, "{error}");
    assert!(error.to_string().contains("custom_experiments.accuracy"), "{error}");
    fn impossible<M: MetadataModel>(cache: &Cache, what: &str, hint: &str) {
        let error = cache.query::<M>().count().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(what), "{error}");
        let found = error.hint().unwrap();
        assert!(found.contains(hint) && found.contains("DROP TABLE \"custom_experiments\""), "{found}");
    }
    impossible::<grown::WithoutDefault>(&cache, "lacks the column rate", "give it a default");
    impossible::<grown::OfAnotherType>(&cache, "the column name of type VARCHAR", "another name");
    impossible::<grown::Optional>(&cache, "the column accuracy, which must not be null", "no Option");
    impossible::<grown::Keyed>(&cache, "another primary key", "another table");
}

#[derive(Debug, PartialEq, MetadataModel)]
#[metadata(table = "custom_folds", unique(seed, cache_key))]
struct Fold {
    #[metadata(primary_key)]
    run: String,
    #[metadata(primary_key)]
    fold: u8,
    seed: i16,
}

#[test]
fn a_primary_key_of_its_own() {
    let (_dir, cache, _) = cache();
    let fold = |run: &str, fold, seed| Fold { run: run.into(), fold, seed };
    cache.put_with(&1, params! { x: 1 }, &[&fold("b", 2, 1), &fold("a", 9, 2), &fold("b", 1, 3)]).unwrap();
    let rows = cache.query::<Fold>().all().unwrap();
    assert_eq!(rows, [fold("a", 9, 2), fold("b", 1, 3), fold("b", 2, 1)], "in the order of the key");
    let twice = cache.put_with(&1, params! { x: 2 }, &[&fold("a", 9, 5)]).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Constraint);
    let twice = cache.put_with(&1, params! { x: 2 }, &[&fold("c", 1, 5), &fold("c", 2, 5)]).unwrap_err();
    assert!(twice.to_string().contains("custom_folds.seed"), "{twice}");
}

const PYTHON_MODELS: &str = r#"
import datetime
from typing import Any
from sqlalchemy import JSON, Boolean, Column, Date, DateTime, Float, Integer, LargeBinary, Numeric, String, inspect
from cacheness.custom_metadata import CustomMetadataBase, custom_metadata_model
from cacheness.metadata import Base

@custom_metadata_model("trials")
class Trial(Base, CustomMetadataBase):
    __tablename__ = "custom_trials"
    name = Column(String(100), nullable=False, unique=True)
    accuracy = Column(Float, index=True, nullable=False)
    epochs = Column(Integer)
    price = Column(Numeric(12, 3))
    flag = Column(Boolean, nullable=False)
    data = Column(LargeBinary)
    at = Column(DateTime, nullable=False)
    config = Column(JSON)

class Duration(Base, CustomMetadataBase):
    __tablename__ = "custom_run_timing"
    seconds = Column(Float, nullable=False)
"#;

/// The model of Python's `Trial`.
#[derive(Clone, Debug, PartialEq, MetadataModel)]
#[metadata(table = "custom_trials")]
struct Trial {
    #[metadata(unique)]
    name: String,
    #[metadata(index)]
    accuracy: f64,
    epochs: Option<i64>,
    price: Option<f64>,
    flag: bool,
    data: Option<Vec<u8>>,
    at: Timestamp,
    config: Option<Value>,
}

fn trial() -> Trial {
    Trial {
        name: "ключ 'x'".into(),
        accuracy: 0.1,
        epochs: Some(i64::MAX),
        price: Some(2.5),
        flag: true,
        data: Some(vec![0, 255]),
        at: Timestamp(1_709_209_801_999_999),
        config: Some(json!({ "a": [1, null, { "b": 0.5 }] })),
    }
}

fn bare() -> Trial {
    let (name, at) = ("bare".into(), Timestamp(0));
    Trial { name, accuracy: 1.0, epochs: None, price: None, flag: false, data: None, at, config: None }
}

#[test]
fn rust_reads_the_tables_of_python() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "{PYTHON_MODELS}\n\
         cache.put(1, x=1, custom_metadata=[\n\
         \x20   Trial(name=\"ключ 'x'\", accuracy=0.1, epochs=2**63 - 1, price=2.5, flag=True, data=b'\\0\\xff',\n\
         \x20         at=datetime.datetime(2024, 2, 29, 12, 30, 1, 999999), config={{'a': [1, None, {{'b': 0.5}}]}}),\n\
         \x20   Duration(seconds=1.5)])\n\
         cache.put(2, x=2, custom_metadata=[Trial(name='bare', accuracy=1, flag=False, at=datetime.datetime(1970, 1, 1))])\n\
         with cache.session() as session:\n\
         \x20   from sqlalchemy import text\n\
         \x20   session.execute(text(\"UPDATE custom_trials SET config = NULL WHERE name = 'bare'\"))\n\
         \x20   session.commit()\n"
    );
    python(dir.path(), &script);
    let cache = open(dir.path());
    assert_eq!(cache.query::<Trial>().all().unwrap(), [trial(), bare()]);
    let joined = cache.query::<Trial>().join::<RunTiming>().all().unwrap();
    assert_eq!(joined, [(trial(), RunTiming { seconds: 1.5 })]);
    let late = cache.query::<Trial>().filter(Trial::at().ge(Timestamp(1_709_209_801_999_999)));
    assert_eq!(late.max(Trial::price()).unwrap(), Some(2.5));
    // Rust writes into it, its constraints hold, and rows of Python go with their entry.
    let other = Trial { name: "of Rust".into(), ..trial() };
    cache.put_with(&3, params! { x: 3 }, &[&other]).unwrap();
    let error = cache.put_with(&4, params! { x: 4 }, &[&bare()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Constraint);
    assert!(cache.invalidate(params! { x: 1 }).unwrap());
    assert_eq!(cache.query::<Trial>().all().unwrap(), [bare(), other]);
    assert_eq!(cache.query::<RunTiming>().count().unwrap(), 0);
}

#[test]
fn python_reads_the_tables_of_rust() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    cache.put_with(&1, params! { x: 1 }, &[&trial() as &dyn ModelRow, &RunTiming { seconds: 1.5 }]).unwrap();
    cache.put_with(&2, params! { x: 2 }, &[&bare()]).unwrap();
    let script = format!(
        "{PYTHON_MODELS}\n\
         one, two = cache.query_custom('trials')\n\
         assert (one.name, one.accuracy, one.epochs, float(one.price), one.flag) == (\"ключ 'x'\", 0.1, 2**63 - 1, 2.5, True)\n\
         assert (one.data, one.at) == (b'\\0\\xff', datetime.datetime(2024, 2, 29, 12, 30, 1, 999999)), one.at\n\
         assert one.config == {{'a': [1, None, {{'b': 0.5}}]}}, one.config\n\
         assert (two.epochs, two.price, two.data, two.config, two.flag) == (None, None, None, None, False)\n\
         assert one.cache_key == cache.cache_key(x=1) and (one.id, two.id) == (1, 2)\n\
         assert cache.get_custom_metadata_for_entry(x=1)['trials'].name == one.name\n\
         with cache.query_custom_session('trials') as query:\n\
         \x20   assert query.filter(Trial.at >= datetime.datetime(2024, 1, 1)).count() == 1\n\
         # The table has what Python would have made.\n\
         found = inspect(cache.metadata_backend.engine)\n\
         def shape(table):\n\
         \x20   columns = {{c['name']: (str(c['type']), c['nullable']) for c in found.get_columns(table)}}\n\
         \x20   keys = [(k['constrained_columns'], k['referred_table'], k['options']) for k in found.get_foreign_keys(table)]\n\
         \x20   indexes = sorted((i['name'].replace(table, ''), i['column_names'], i['unique']) for i in found.get_indexes(table))\n\
         \x20   unique = [u['column_names'] for u in found.get_unique_constraints(table)]\n\
         \x20   return columns, keys, indexes, unique, found.get_pk_constraint(table)['constrained_columns']\n\
         of_rust = shape('custom_trials')\n\
         class Again(Base, CustomMetadataBase):\n\
         \x20   __tablename__ = 'custom_again'\n\
         \x20   name = Column(String, nullable=False, unique=True)\n\
         \x20   accuracy = Column(Float, index=True, nullable=False)\n\
         \x20   epochs = Column(Integer)\n\
         \x20   price = Column(Float)\n\
         \x20   flag = Column(Boolean, nullable=False)\n\
         \x20   data = Column(LargeBinary)\n\
         \x20   at = Column(DateTime, nullable=False)\n\
         \x20   config = Column(JSON)\n\
         cache._make_ready({{Again}})\n\
         found = inspect(cache.metadata_backend.engine)\n\
         assert of_rust == shape('custom_again'), (of_rust, shape('custom_again'))\n\
         cache.put(3, x=3, custom_metadata=Trial(name='of Python', accuracy=0.5, flag=True, at=datetime.datetime(2000, 1, 1)))\n\
         from cacheness.errors import CacheConstraintError\n\
         try:\n\
         \x20   cache.put(4, x=4, custom_metadata=Trial(name='bare', accuracy=0.5, flag=True, at=datetime.datetime(2000, 1, 1)))\n\
         \x20   raise SystemExit('not refused')\n\
         except CacheConstraintError as error:\n\
         \x20   assert 'custom_trials.name' in str(error)\n\
         assert cache.invalidate(x=1)\n"
    );
    python(dir.path(), &script);
    let names: Vec<String> = cache.query::<Trial>().all().unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["bare", "of Python"]);
    assert_eq!(cache.query::<RunTiming>().count().unwrap(), 0);
}
