//! Configurations and URLs as text, texts of environment variables, and the manifest of a directory.

use cacheness::config::{Settings, options};
use cacheness::{CacheConfig, StoreUrl, blobs_url};
use cacheness_core::ErrorKind;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(document) = toml::Deserializer::parse(text) {
        cache(CacheConfig::read(document));
    }
    cache(CacheConfig::read(&mut serde_json::Deserializer::from_str(text)));
    let mut settings = Settings::default();
    if let Ok(document) = toml::Deserializer::parse(text) {
        file(settings.read_file("c.toml".as_ref(), text, document).and_then(|()| settings.config()));
    }
    let mut settings = Settings::default();
    let document = &mut serde_json::Deserializer::from_str(text);
    file(settings.read_file("c.json".as_ref(), text, document).and_then(|()| settings.config()));
    for option in options() {
        if let Ok(value) = option.of_text(text) {
            assert!(option.accepts(&value), "{}", option.name);
        }
    }
    url(text);

    let dir = super::rows::scratch();
    std::fs::write(dir.join("cacheness.toml"), text).expect("a scratch directory");
    match cacheness::describe(&dir) {
        Ok(description) => assert!(description.format <= cacheness::FORMAT),
        Err(error) => super::refused(&error, &[ErrorKind::NotAStore, ErrorKind::NewerFormat]),
    }
}

/// What a file sets is what the engine accepts.
fn file(read: cacheness::Result<CacheConfig>) {
    if let Ok(config) = &read {
        assert_eq!(
            CacheConfig::read(&mut serde_json::Deserializer::from_str(&json(config))).ok().as_ref(),
            Some(config)
        );
    }
    if let Err(error) = read {
        super::refused(&error, &[ErrorKind::InvalidInput]);
    }
}

fn json(config: &CacheConfig) -> String {
    serde_json::to_string(config).expect("a configuration is JSON")
}

fn url(text: &str) {
    if let Err(error) = StoreUrl::parse(text) {
        super::refused(&error, &[ErrorKind::InvalidInput]);
    }
    match blobs_url(text) {
        Ok(url) if url.scheme() == Some("file") => assert_eq!(blobs_url(url.as_str()).ok(), Some(url)),
        Ok(_) => {}
        Err(error) => super::refused(&error, &[ErrorKind::InvalidInput]),
    }
}

fn cache(read: cacheness::Result<CacheConfig>) {
    match read {
        Ok(config) => {
            config.check().expect("what was read has been checked");
            if let Err(error) = cacheness::registry::check_url(&config.store) {
                super::refused(&error, &[ErrorKind::InvalidInput, ErrorKind::Unsupported]);
            }
            let again =
                CacheConfig::read(&mut serde_json::Deserializer::from_str(&json(&config))).expect("its own JSON");
            assert_eq!(again, config);
        }
        Err(error) => super::refused(&error, &[ErrorKind::InvalidInput]),
    }
}
