//! The same database has the same key, however its connection is written; and a secret has no part in it.

use cacheness_catalog::{Details, Engine};
use cacheness_core::ErrorKind;
use proptest::prelude::*;
use serde_json::{Value, json};

fn details(db_type: &str, credentials: &Value) -> Details {
    Details::of(db_type, credentials).unwrap_or_else(|error| panic!("{credentials}: {error}"))
}

#[test]
fn the_key_is_the_hash_that_the_documentation_says() {
    let found = details("postgres", &json!({ "host": "LocalHost", "database": "mydb", "user": "ada" }));
    // printf '["postgres",{"database":"mydb","host":"localhost","port":"5432","user":"ada"}]' | sha256sum
    assert_eq!(found.cache_key(), "5ffe037d8462e94fde0d7231abf006e10ec9e3af32fc17e6bdccf267601d87c1");
    assert_eq!(
        format!("{found:?}"),
        r#"Details { engine: Postgres, database: "mydb", host: "localhost", port: "5432", user: "ada" }"#
    );
}

#[test]
fn one_database_has_one_key() {
    let same = [
        ("postgres", json!({ "host": "db.example", "database": "mydb", "user": "ada" })),
        ("postgresql", json!({ "host": "DB.example", "dbname": "mydb", "username": "ada", "port": 5432 })),
        ("Postgres", json!({ "hostname": "db.example", "db": "mydb", "user": "ada", "port": "5432", "password": "s" })),
        (
            "postgres",
            json!({ "host": "db.example", "database": "mydb", "user": "ada", "sslmode": "require", "schema": null }),
        ),
        ("postgres", json!({ "url": "postgresql://ada:hush@db.example/mydb" })),
        ("postgres", json!({ "url": "postgresql+psycopg://ada@DB.EXAMPLE:5432/mydb?sslmode=verify-full" })),
        ("postgres", json!({ "connection_url": "postgres://ada@db.example/mydb", "user": "ada" })),
        (
            "postgres",
            json!({ "host": "db.example", "database": "mydb", "user": "ada", "sslkey": "/k", "API_TOKEN": 5 }),
        ),
    ];
    let keys: std::collections::BTreeSet<String> =
        same.iter().map(|(db_type, credentials)| details(db_type, credentials).cache_key()).collect();
    assert_eq!(keys.len(), 1);
    let others = [
        ("mysql", json!({ "host": "db.example", "database": "mydb", "user": "ada" })),
        ("postgres", json!({ "host": "db.example", "database": "MyDB", "user": "ada" })),
        ("postgres", json!({ "host": "db.example", "database": "mydb" })),
        ("postgres", json!({ "host": "db.example", "database": "mydb", "user": "ada", "port": 5433 })),
        ("postgres", json!({ "host": "db.example", "database": "mydb", "user": "ada", "search_path": "a, b" })),
        ("postgres", json!({ "host": "db.example", "database": "mydb", "user": "ada", "search_path": ["a"] })),
        ("postgres", json!({ "host": "/run/DB", "database": "mydb", "user": "ada" })),
    ];
    let mut all = keys;
    all.extend(others.iter().map(|(db_type, credentials)| details(db_type, credentials).cache_key()));
    assert_eq!(all.len(), 1 + others.len());
    let path =
        |given: Value| details("postgres", &json!({ "host": "h", "database": "d", "search_path": given })).cache_key();
    assert_eq!(path(json!("a, b")), path(json!(["a", "b"])));
    let in_url = details("mysql", &json!({ "url": "mysql://a%40b:x@[::1]:3307/d%26e%3D" }));
    assert_eq!(
        ["user", "host", "port", "database"].map(|name| in_url.get(name)),
        [Some("a@b"), Some("::1"), Some("3307"), Some("d&e=")]
    );
}

#[test]
fn a_file_is_its_real_path() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().canonicalize().expect("there");
    std::fs::create_dir(root.join("real")).expect("a directory");
    std::os::unix::fs::symlink("real", root.join("link")).expect("a link");
    let of = |db_type: &str, path: &str| details(db_type, &json!({ "database": path })).cache_key();
    let paths = ["real/x.db", "link/x.db", "link/../real/./x.db"].map(|path| root.join(path).display().to_string());
    for exists in [false, true] {
        if exists {
            std::fs::write(root.join("real/x.db"), "").expect("written");
        }
        let keys = [&paths[0], &paths[1], &paths[2]].map(|path| of("sqlite", path));
        assert!(keys.iter().all(|key| *key == keys[0]), "{exists}");
        assert_ne!(of("duckdb", &paths[0]), keys[0]);
        let url = format!("sqlite:///{}", paths[1]);
        assert_eq!(details("sqlite3", &json!({ "url": url })).cache_key(), keys[0]);
    }
    assert_eq!(details("sqlite", &json!({ "path": ":memory:" })).get("database"), Some(":memory:"));
}

#[test]
fn what_is_wrong_is_named_and_no_value_shown() {
    for (db_type, credentials, named) in [
        ("postgras", json!({}), "postgras"),
        ("postgres", json!([]), "db_creds is a list"),
        ("postgres", json!({ "host": "hush" }), "no database"),
        ("postgres", json!({ "database": "hush" }), "no host"),
        ("sqlite", json!({}), "no database"),
        ("postgres", json!({ "host": 5, "database": "d" }), "host in db_creds is a number"),
        ("postgres", json!({ "host": "h", "database": ["hush"] }), "database in db_creds is a list"),
        ("postgres", json!({ "host": "h", "database": "hu\u{0}sh" }), "NUL"),
        ("postgres", json!({ "host": "h", "database": "d", "port": 0 }), "port"),
        ("postgres", json!({ "host": "h", "database": "d", "port": "hush" }), "port"),
        ("postgres", json!({ "host": "h", "database": "d", "prot": 5 }), "\"prot\""),
        ("postgres", json!({ "host": "h", "database": "d", "dbname": "hush" }), "given twice"),
        ("postgres", json!({ "url": "mysql://u:hush@h/d" }), "url"),
        ("postgres", json!({ "url": "hush" }), "url"),
        ("postgres", json!({ "url": "postgresql://u:hush@h:99999/d" }), "url"),
        ("sqlite", json!({ "path": "a", "database": "hush" }), "given twice"),
    ] {
        let error = Details::of(db_type, &credentials).expect_err(named);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let said = format!("{error} {:?}", error.hint());
        assert!(said.contains(named) && !said.contains("hush"), "{said}");
    }
    assert_eq!(Engine::named(" MariaDB ").expect("known"), Engine::MySql);
    let snowflake =
        json!({ "account": "a", "warehouse": "w", "user": "u", "private_key_path": "/hush", "autocommit": true });
    let found = details("snowflake", &snowflake);
    assert_eq!((found.get("account"), found.get("autocommit")), (Some("a"), Some("true")));
    assert!(!format!("{found:?}").contains("hush"));
}

proptest! {
    /// The value of a secret changes nothing, and any value of any detail changes the key.
    #[test]
    fn secrets_have_no_part(host in "[a-z.]{1,20}", database in "\\PC{1,20}", user in "\\PC{1,20}", secret in "\\PC{0,20}") {
        let of = |host: &str, database: &str, user: &str| {
            Details::of("mysql", &json!({
                "host": host, "database": database, "user": user, "password": secret, "ssl_key": secret, "token": secret,
            })).map(|details| details.cache_key())
        };
        let key = of(&host, &database, &user).expect("valid");
        let bare = Details::of("mysql", &json!({ "host": host, "database": database, "user": user })).expect("valid");
        prop_assert_eq!(&bare.cache_key(), &key);
        prop_assert_ne!(of(&format!("{host}x"), &database, &user).expect("valid"), &*key);
        prop_assert_ne!(of(&host, &format!("{database}x"), &user).expect("valid"), &*key);
        prop_assert_ne!(of(&host, &database, &format!("{user}x")).expect("valid"), &*key);
    }

    /// Nothing that is given as credentials makes it panic.
    #[test]
    fn any_text_is_read_or_refused(name in "\\PC{0,12}", value in "\\PC{0,40}") {
        for db_type in ["postgres", "sqlite", "snowflake", &*name] {
            for credentials in [json!({ "url": value }), json!({ &*name: value, "host": "h", "database": "d" })] {
                let _ = Details::of(db_type, &credentials);
            }
        }
    }
}
