//! The connection to a bucket: the client crate, configured, and the requests that it does not know.

use std::time::Duration;

use cacheness_core::{Error, ErrorKind, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, RetryConfig};

use crate::config::{AddressingStyle, S3Options, seconds};
use crate::credentials::{self, Chosen};
use crate::error;
use crate::runtime::Resolver;

/// How long a URL for a request of our own is valid.
const OWN_URL: Duration = Duration::from_secs(300);

/// A connection is not used again after this time without a request: servers and gateways close idle ones.
const IDLE: Duration = Duration::from_secs(20);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The client of one bucket. It belongs to a process: its connections are driven by that process's runtime.
pub(crate) struct Client {
    pub(crate) s3: AmazonS3,
    http: HttpClient,
}

impl Client {
    /// Connects to nothing yet.
    pub(crate) fn new(options: &S3Options) -> Result<Self> {
        // Another part of the program may have chosen a provider; any does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed =
            |e: object_store::Error| error::of_store(format_args!("cannot use the bucket {:?}", options.bucket), &e);
        let env = |name: &str| std::env::var(name).ok();
        let endpoint = match options.endpoint()? {
            Some(endpoint) => Some(endpoint),
            None => env("AWS_ENDPOINT_URL_S3").or_else(|| env("AWS_ENDPOINT_URL")).filter(|url| !url.is_empty()),
        };
        let (builder, chosen) = credentials::choose(AmazonS3Builder::new(), options, &env)?;
        let region = builder.get_config_value(&AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".into());
        let place = Place::new(options, endpoint, &region);
        let client_options = client_options(options, place.is_plain);
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: LONGEST_PAUSE, ..BackoffConfig::default() },
            max_retries: options.max_retries,
            retry_timeout: seconds(options.retry_timeout_seconds),
        };
        let mut builder = builder
            .with_region(region)
            .with_bucket_name(&options.bucket)
            .with_client_options(client_options.clone())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_virtual_hosted_style_request(place.is_virtual)
            // TLS protects the bytes on their way; without it, their signature does.
            .with_unsigned_payload(!place.is_plain)
            .with_retry(retry);
        if let Some(endpoint) = place.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        match options.sse() {
            Some("AES256") => builder = builder.with_config(encryption("aws_server_side_encryption")?, "AES256"),
            Some(kms) => {
                builder = builder.with_config(encryption("aws_server_side_encryption")?, kms);
                if let Some(key) = &options.kms_key_id {
                    builder = builder.with_config(encryption("aws_sse_kms_key_id")?, key);
                }
            }
            None => {}
        }
        if chosen == Chosen::OfMachine {
            // A machine that is not one of AWS never answers: few attempts.
            let retry = RetryConfig { max_retries: 1, retry_timeout: Duration::from_secs(5), ..RetryConfig::default() };
            let asking = builder.clone().with_retry(retry).build().map_err(failed)?;
            builder = builder.with_credentials(asking.credentials().clone());
        }
        let http = ReqwestConnector::default().connect(&client_options).map_err(failed)?;
        Ok(Self { s3: builder.build().map_err(failed)?, http })
    }

    /// Sends a request that the client crate does not know, and returns the body of the answer.
    pub(crate) async fn request(
        &self,
        action: &str,
        method: Method,
        path: &Path,
        query: Vec<(String, String)>,
    ) -> Result<String> {
        let options = SignedUrlOptions::new().with_query(query);
        let url = self.s3.signed_url_opts(method.clone(), path, OWN_URL, &options).await;
        let url = url.map_err(|e| error::of_store(action, &e))?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().map_err(|_| {
            // The URL has a signature: not shown.
            Error::new(ErrorKind::InvalidInput, format!("{action}: the address of the bucket is no URL"))
        })?;
        let answer = self.http.execute(request).await.map_err(|e| error::of_http(action, &e))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|e| error::of_http(action, &e))?;
        let body = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() { Ok(body) } else { Err(error::of_answer(action, status.as_u16(), &body)) }
    }
}

/// How requests reach the bucket.
struct Place {
    /// The server, with the bucket if it is in the host name; `None` for that of AWS.
    endpoint: Option<String>,
    is_virtual: bool,
    /// Without TLS.
    is_plain: bool,
}

impl Place {
    fn new(options: &S3Options, endpoint: Option<String>, region: &str) -> Self {
        let bucket = &options.bucket;
        let is_virtual = match options.addressing_style {
            AddressingStyle::Virtual => true,
            AddressingStyle::Path => false,
            // The certificate of AWS is for one label before its own name.
            AddressingStyle::Auto => endpoint.is_none() && !bucket.contains('.'),
        };
        let endpoint = match (endpoint, options.use_ssl) {
            (None, Some(false)) => Some(format!("http://s3.{region}.amazonaws.com")),
            (endpoint, _) => endpoint,
        };
        let is_plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        // The client crate wants an endpoint with the bucket in it.
        let endpoint = endpoint.map(|endpoint| match endpoint.split_once("://") {
            Some((scheme, host)) if is_virtual => format!("{scheme}://{bucket}.{host}"),
            _ => endpoint,
        });
        Self { endpoint, is_virtual, is_plain }
    }
}

fn client_options(options: &S3Options, is_plain: bool) -> ClientOptions {
    let client = ClientOptions::new()
        .with_allow_http(is_plain)
        .with_connect_timeout(seconds(options.connect_timeout_seconds))
        .with_timeout(seconds(options.request_timeout_seconds))
        .with_pool_idle_timeout(IDLE)
        .with_dns_resolver(std::sync::Arc::new(Resolver))
        .with_config(ClientConfigKey::UserAgent, concat!("cacheness/", env!("CARGO_PKG_VERSION")));
    // Without TLS, a machine need not have certificates.
    if is_plain { client.with_no_system_certificates(true) } else { client }
}

/// A key of the client crate whose type it does not export.
fn encryption(name: &str) -> Result<AmazonS3ConfigKey> {
    name.parse().map_err(|e| error::of_store("server_side_encryption", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_finds_the_bucket() {
        for (endpoint, style, use_ssl, expected) in [
            (None, AddressingStyle::Auto, None, (None, true, false)),
            (None, AddressingStyle::Path, None, (None, false, false)),
            (Some("http://h:9000"), AddressingStyle::Auto, None, (Some("http://h:9000"), false, true)),
            (Some("https://h"), AddressingStyle::Virtual, None, (Some("https://bbb.h"), true, false)),
            (None, AddressingStyle::Auto, Some(false), (Some("http://bbb.s3.r.amazonaws.com"), true, true)),
        ] {
            let options = S3Options { bucket: "bbb".into(), addressing_style: style, use_ssl, ..S3Options::default() };
            let place = Place::new(&options, endpoint.map(str::to_owned), "r");
            assert_eq!((place.endpoint.as_deref(), place.is_virtual, place.is_plain), expected);
        }
        let dotted = S3Options { bucket: "b.b".into(), ..S3Options::default() };
        assert!(!Place::new(&dotted, None, "r").is_virtual);
    }
}
