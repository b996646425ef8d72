//! What the file says of TLS → what makes TLS of a connection.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::WebConfigError;
use super::file::{ClientAuth, Tls, Version, beside};

pub(super) fn acceptor(tls: &Tls, path: &Path) -> Result<TlsAcceptor, WebConfigError> {
    let wrong = |what: String| WebConfigError::new(path, format!("tls_server_config: {what}"));
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls).map_err(|what| wrong(what.to_owned()))?)
        .map_err(|error| wrong(error.to_string()))?;
    let builder = match verifier(tls, path, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let (cert_file, key_file) = (beside(path, &tls.cert_file), beside(path, &tls.key_file));
    let key = PrivateKeyDer::from_pem_slice(&read(&key_file)?)
        .map_err(|error| WebConfigError::new(&key_file, format!("no private key in PEM: {error}")))?;
    let mut config = builder.with_single_cert(certificates(&cert_file)?, key).map_err(|error| {
        let key_file = key_file.display();
        WebConfigError::new(&cert_file, format!("no certificate for the key {key_file}: {error}"))
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn versions(tls: &Tls) -> Result<Vec<&'static SupportedProtocolVersion>, &'static str> {
    let (min, max) = (tls.min_version.unwrap_or(Version::Tls12), tls.max_version.unwrap_or(Version::Tls13));
    let all = [(Version::Tls12, &TLS12), (Version::Tls13, &TLS13)];
    let versions: Vec<_> =
        all.into_iter().filter(|(one, _)| (min..=max).contains(one)).map(|(_, version)| version).collect();
    if versions.is_empty() { Err("max_version is below min_version") } else { Ok(versions) }
}

/// What looks at the certificates of clients, if any does.
fn verifier(
    tls: &Tls,
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, WebConfigError> {
    let wrong = |what: &str| WebConfigError::new(path, format!("tls_server_config: {what}"));
    let authorities = match (&tls.client_ca_file, tls.client_auth_type) {
        (None, ClientAuth::NoClientCert) => return Ok(None),
        (Some(_), ClientAuth::NoClientCert) => {
            return Err(wrong(
                "client_ca_file: says nothing without client_auth_type: RequireAndVerifyClientCert",
            ));
        }
        (None, _) => return Err(wrong("client_auth_type: needs a client_ca_file to verify with")),
        (Some(file), _) => beside(path, file),
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&authorities)? {
        roots.add(certificate).map_err(|error| WebConfigError::new(&authorities, error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match tls.client_auth_type {
        ClientAuth::VerifyClientCertIfGiven => builder.allow_unauthenticated(),
        ClientAuth::NoClientCert | ClientAuth::RequireAndVerifyClientCert => builder,
    };
    builder.build().map(Some).map_err(|error| WebConfigError::new(&authorities, error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, WebConfigError> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if all.is_empty() => Err(WebConfigError::new(path, "no certificate in PEM")),
        Ok(all) => Ok(all),
        Err(error) => Err(WebConfigError::new(path, format!("no certificate in PEM: {error}"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, WebConfigError> {
    fs::read(path).map_err(|error| WebConfigError::new(path, error))
}
