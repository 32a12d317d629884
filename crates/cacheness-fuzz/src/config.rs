//! Configurations as text, and the manifest of a directory.

use cacheness::CacheConfig;
use cacheness_core::ErrorKind;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(document) = toml::Deserializer::parse(text) {
        cache(CacheConfig::read(document));
    }
    cache(CacheConfig::read(&mut serde_json::Deserializer::from_str(text)));

    let dir = super::rows::scratch();
    std::fs::write(dir.join("cacheness.toml"), text).expect("a scratch directory");
    match cacheness::describe(&dir) {
        Ok(description) => assert!(description.format <= cacheness::FORMAT),
        Err(error) => super::refused(&error, &[ErrorKind::NotAStore, ErrorKind::NewerFormat]),
    }
}

fn cache(read: cacheness::Result<CacheConfig>) {
    match read {
        Ok(config) => {
            config.check().expect("what was read has been checked");
            if let Err(error) = cacheness::registry::check_url(&config.store) {
                super::refused(&error, &[ErrorKind::InvalidInput, ErrorKind::Unsupported]);
            }
            let text = serde_json::to_string(&config).expect("a configuration is JSON");
            let again = CacheConfig::read(&mut serde_json::Deserializer::from_str(&text)).expect("its own JSON");
            assert_eq!(again, config);
        }
        Err(error) => super::refused(&error, &[ErrorKind::InvalidInput]),
    }
}
