//! The standard chain of credentials, and the region.
//!
//! | first | from |
//! |---|---|
//! | 1 | the options `access_key`, `secret_key`, `session_token` |
//! | 2 | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, unless the option `profile` is given |
//! | 3 | a web identity: `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN` |
//! | 4 | the profile in `~/.aws/credentials` and `~/.aws/config` |
//! | 5 | a container: `AWS_CONTAINER_CREDENTIALS_…` |
//! | 6 | the metadata service of the machine, unless `AWS_EC2_METADATA_DISABLED` is `true` |
//!
//! A profile that assumes a role, runs a process or needs a single sign-on is refused, with a way round.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cacheness_core::{Error, ErrorKind, Result};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use crate::config::S3Options;

/// A variable of the environment.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where the credentials of a builder come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// They are known.
    Fixed,
    /// A service gives them when the first request is made.
    Asked,
    /// The service of the machine, which exists on machines of AWS only.
    OfMachine,
}

/// Variables with which a service gives credentials.
const SERVICES: &[(&str, AmazonS3ConfigKey)] = &[
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
];

/// Gives the builder its credentials and its region.
pub(crate) fn choose(
    mut builder: AmazonS3Builder,
    options: &S3Options,
    env: Lookup<'_>,
) -> Result<(AmazonS3Builder, Chosen)> {
    let env = |name: &str| env(name).filter(|value| !value.is_empty());
    let profile = Profile::read(options, &env)?;
    let region = options
        .region
        .clone()
        .or_else(|| env("AWS_REGION"))
        .or_else(|| env("AWS_DEFAULT_REGION"))
        .or_else(|| profile.settings.get("region").cloned());
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    if let (Some(key), Some(secret)) = (&options.access_key, &options.secret_key) {
        return Ok((fixed(builder, key, secret, options.session_token.as_deref()), Chosen::Fixed));
    }
    if options.profile.is_none()
        && let (Some(key), Some(secret)) = (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"))
    {
        return Ok((fixed(builder, &key, &secret, env("AWS_SESSION_TOKEN").as_deref()), Chosen::Fixed));
    }
    let by_web_identity = env("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() && env("AWS_ROLE_ARN").is_some();
    if !by_web_identity || options.profile.is_some() {
        if let Some((key, secret, token)) = profile.credentials()? {
            return Ok((fixed(builder, key, secret, token), Chosen::Fixed));
        }
        if let Some(name) = &options.profile {
            let what = format!("the profile {name:?} has no credentials");
            return Err(
                Error::new(ErrorKind::Denied, what).with_hint("add them to ~/.aws/credentials, or leave profile out")
            );
        }
    }
    for (name, key) in SERVICES {
        if let Some(value) = env(name) {
            builder = builder.with_config(*key, value);
        }
    }
    let by_container = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_some()
        || (env("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some()
            && env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").is_some());
    if by_web_identity || by_container {
        return Ok((builder, Chosen::Asked));
    }
    if env("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(Error::new(ErrorKind::Denied, "there are no credentials for S3").with_hint(
            "give access_key and secret_key, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`",
        ));
    }
    Ok((builder, Chosen::OfMachine))
}

fn fixed(builder: AmazonS3Builder, key: &str, secret: &str, token: Option<&str>) -> AmazonS3Builder {
    let builder = builder.with_access_key_id(key).with_secret_access_key(secret);
    match token {
        Some(token) => builder.with_token(token),
        None => builder,
    }
}

/// A profile of the shared files; empty if there is none.
struct Profile {
    name: String,
    settings: BTreeMap<String, String>,
}

impl Profile {
    fn read(options: &S3Options, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let name = options.profile.clone().or_else(|| env("AWS_PROFILE"));
        let is_chosen = name.is_some();
        let name = name.unwrap_or_else(|| "default".to_owned());
        let home = env("HOME").map(PathBuf::from);
        let file = |variable: &str, base: &str| {
            env(variable).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(".aws").join(base)))
        };
        let mut settings = BTreeMap::new();
        let mut is_there = false;
        // What is in the credentials file counts more.
        for (path, is_config) in
            [(file("AWS_CONFIG_FILE", "config"), true), (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), false)]
        {
            let Some(path) = path else { continue };
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    log::warn!("cannot read {}: {error}", path.display());
                    continue;
                }
            };
            if let Some(found) = section(&text, &name, is_config) {
                is_there = true;
                settings.extend(found);
            }
        }
        if is_chosen && !is_there {
            return Err(Error::new(ErrorKind::Denied, format!("there is no profile {name:?} of AWS"))
                .with_hint("check profile or AWS_PROFILE, and ~/.aws/config"));
        }
        Ok(Self { name, settings })
    }

    fn credentials(&self) -> Result<Option<(&str, &str, Option<&str>)>> {
        let get = |name: &str| self.settings.get(name).map(String::as_str);
        if let (Some(key), Some(secret)) = (get("aws_access_key_id"), get("aws_secret_access_key")) {
            return Ok(Some((key, secret, get("aws_session_token"))));
        }
        let needs = ["role_arn", "credential_process", "sso_session", "sso_start_url"];
        match needs.into_iter().find(|name| self.settings.contains_key(*name)) {
            None => Ok(None),
            Some(setting) => {
                let what =
                    format!("the profile {:?} gets its credentials by {setting}, which is not supported", self.name);
                Err(Error::new(ErrorKind::Unsupported, what).with_hint(
                    "put the output of `aws configure export-credentials --format env` into the environment",
                ))
            }
        }
    }
}

/// The settings of a profile in one of the shared files; `None` if it is not there.
fn section(text: &str, profile: &str, is_config: bool) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut is_inside = false;
    for line in text.lines() {
        // An indented line belongs to a setting with several parts, such as `s3 =`.
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let header = header.trim();
            let name = match header.strip_prefix("profile ") {
                Some(name) if is_config => name.trim(),
                _ => header,
            };
            is_inside = name == profile;
            if is_inside {
                found.get_or_insert_default();
            }
        } else if let (true, false, Some((name, value)), Some(found)) =
            (is_inside, is_nested, line.split_once('='), found.as_mut())
        {
            found.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "[default]\nregion = eu-west-1\n\n# a remark\n[profile work]\nregion=us-west-2\ns3 =\n  region = no\n\
                          [profile boss]\nrole_arn = arn:aws:iam::1:role/x\n";

    fn of(options: &S3Options, variables: &[(&str, &str)]) -> Result<(AmazonS3Builder, Chosen)> {
        let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        choose(AmazonS3Builder::new(), options, &env)
    }

    fn value(builder: &AmazonS3Builder, key: AmazonS3ConfigKey) -> Option<String> {
        builder.get_config_value(&key)
    }

    #[test]
    fn the_first_of_the_chain_counts() {
        let dir = std::env::temp_dir().join(format!("cacheness-credentials-{}", std::process::id()));
        std::fs::create_dir_all(dir.join(".aws")).expect("a directory");
        std::fs::write(dir.join(".aws/config"), CONFIG).expect("written");
        std::fs::write(
            dir.join(".aws/credentials"),
            "[work]\naws_access_key_id = FILE\naws_secret_access_key = s\naws_session_token = t\n",
        )
        .expect("written");
        let home = dir.to_str().expect("UTF-8");
        let none = S3Options::default();
        let mine = S3Options { access_key: Some("MINE".into()), secret_key: Some("s".into()), ..S3Options::default() };
        let work = S3Options { profile: Some("work".into()), ..S3Options::default() };
        let vars =
            [("HOME", home), ("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_PROFILE", "work")];
        for (options, variables, key, region) in [
            (&mine, &vars[..], "MINE", "us-west-2"),
            (&none, &vars[..], "ENV", "us-west-2"),
            (&work, &vars[..], "FILE", "us-west-2"),
            (&none, &[vars[0], vars[3]][..], "FILE", "us-west-2"),
            (&mine, &vars[..1], "MINE", "eu-west-1"),
        ] {
            let (builder, chosen) = of(options, variables).expect("credentials");
            assert_eq!(chosen, Chosen::Fixed);
            assert_eq!(value(&builder, AmazonS3ConfigKey::AccessKeyId).as_deref(), Some(key));
            assert_eq!(value(&builder, AmazonS3ConfigKey::Region).as_deref(), Some(region));
        }
        let (builder, _) = of(&work, &vars[..1]).expect("credentials");
        assert_eq!(value(&builder, AmazonS3ConfigKey::Token).as_deref(), Some("t"));
        for (options, variables, kind) in [
            (&none, &[("HOME", home), ("AWS_PROFILE", "boss")][..], ErrorKind::Unsupported),
            (&none, &[("HOME", home), ("AWS_PROFILE", "nobody")], ErrorKind::Denied),
            (&none, &[("HOME", "/nonexistent"), ("AWS_EC2_METADATA_DISABLED", "true")], ErrorKind::Denied),
        ] {
            assert_eq!(of(options, variables).map(|_| ()).expect_err("none").kind(), kind);
        }
        let (_, chosen) = of(&none, &[("HOME", "/nonexistent")]).expect("the machine's");
        assert_eq!(chosen, Chosen::OfMachine);
        let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn"), ("HOME", home)];
        assert_eq!(of(&none, &web).expect("a service").1, Chosen::Asked);
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
