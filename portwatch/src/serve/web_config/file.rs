//! The file's text → what it says. A key that is not understood is an error: a misspelt one must not leave the door open.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use serde::Deserialize;
use tokio_rustls::TlsAcceptor;

use super::{WebConfigError, tls};

/// A hash of this cost takes four seconds; each more doubles it.
const HIGHEST_COST: u32 = 16;

/// Keys as in the exporter toolkit's `web.config.file`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    tls_server_config: Option<Tls>,
    basic_auth_users: Option<BTreeMap<String, String>>,
}

/// Of TLS. Paths are relative to the folder of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert_file: PathBuf,
    pub(super) key_file: PathBuf,
    pub(super) client_ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) client_auth_type: ClientAuth,
    pub(super) min_version: Option<Version>,
    pub(super) max_version: Option<Version>,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum ClientAuth {
    #[default]
    NoClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// Of TLS: nobody speaks older ones here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum Version {
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

/// What holds for a connection and its requests.
pub(in crate::serve) struct Rules {
    acceptor: Option<TlsAcceptor>,
    users: BTreeMap<String, String>,
}

impl std::fmt::Debug for Rules {
    /// Without keys and hashes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tls, users) = (self.acceptor.is_some(), self.users.len());
        f.debug_struct("Rules").field("tls", &tls).field("users", &users).finish()
    }
}

impl Rules {
    /// What makes TLS of a connection, if that is wanted.
    pub(in crate::serve) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.acceptor.clone()
    }

    /// Name → hash; empty if no password is wanted.
    pub(in crate::serve) fn users(&self) -> &BTreeMap<String, String> {
        &self.users
    }
}

/// Reads the file, but none that it names.
pub(super) fn parse(path: &Path) -> Result<File, WebConfigError> {
    let text = fs::read_to_string(path).map_err(|error| WebConfigError::new(path, error))?;
    // An empty file wants nothing.
    let file: Option<File> =
        serde_norway::from_str(&text).map_err(|error| WebConfigError::new(path, error))?;
    Ok(file.unwrap_or_default())
}

impl File {
    /// The files that it names.
    pub(super) fn files(&self, path: &Path) -> Vec<PathBuf> {
        let Some(tls) = &self.tls_server_config else { return Vec::new() };
        [Some(&tls.cert_file), Some(&tls.key_file), tls.client_ca_file.as_ref()]
            .into_iter()
            .flatten()
            .map(|file| beside(path, file))
            .collect()
    }

    /// Everything that it wants, ready for use.
    pub(super) fn rules(self, path: &Path) -> Result<Rules, WebConfigError> {
        let acceptor = self.tls_server_config.map(|tls| tls::acceptor(&tls, path)).transpose()?;
        let users = match self.basic_auth_users {
            // Whoever writes the key wants passwords; without one everybody would come in.
            Some(users) if users.is_empty() => {
                return Err(WebConfigError::new(
                    path,
                    "basic_auth_users: has no users; leave the key out to want none",
                ));
            }
            users => users.unwrap_or_default(),
        };
        for (name, hash) in &users {
            check(name, hash).map_err(|what| WebConfigError::new(path, what))?;
        }
        Ok(Rules { acceptor, users })
    }
}

/// The hash itself is not shown.
fn check(name: &str, hash: &str) -> Result<(), String> {
    let shown = crate::text::printable(name);
    if name.contains(':') {
        return Err(format!("basic_auth_users: {shown}: a name has no colon"));
    }
    let parts = bcrypt::HashParts::from_str(hash).map_err(|_| {
        format!("basic_auth_users: {shown}: not a bcrypt hash; `htpasswd -nBC 10 {shown}` makes one")
    })?;
    match parts.get_cost() {
        cost if cost > HIGHEST_COST => Err(format!(
            "basic_auth_users: {shown}: a cost of {cost} takes minutes a request; {HIGHEST_COST} is the most"
        )),
        _ => Ok(()),
    }
}

pub(super) fn beside(path: &Path, file: &Path) -> PathBuf {
    path.parent().map_or_else(|| file.to_path_buf(), |folder| folder.join(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::scratch::Scratch;

    fn said(name: &str, text: &str) -> Result<Rules, String> {
        let folder = Scratch::new(&format!("web-{name}"));
        folder.write("web.yml", text);
        let path = folder.path().join("web.yml");
        parse(&path).and_then(|file| file.rules(&path)).map_err(|error| error.to_string())
    }

    const HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

    #[test]
    fn files_of_the_exporter_toolkit_are_read() {
        let empty = said("empty", "").expect("nothing is wanted");
        assert!(empty.acceptor().is_none() && empty.users().is_empty());
        let users =
            said("users", &format!("basic_auth_users:\n  prom: {HASH}\n  bob: {HASH}\n")).expect("users");
        assert_eq!(users.users().len(), 2);
        assert!(!format!("{users:?}").contains("$2y$"), "no hash in a message");
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_says_where() {
        for (name, text, words) in [
            ("key", "basic_auth_user:\n  prom: x\n", "basic_auth_user"),
            ("http", "http_server_config:\n  http2: true\n", "http_server_config"),
            ("tls", "tls_server_config:\n  cert_file: a\n  key_file: b\n  cipher: c\n", "cipher"),
            ("half", "tls_server_config:\n  cert_file: a\n", "key_file"),
            ("version", "tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}", "TLS10"),
            (
                "order",
                "tls_server_config: {cert_file: a, key_file: b, min_version: TLS13, max_version: TLS12}",
                "below",
            ),
            ("absent", "tls_server_config: {cert_file: a.pem, key_file: b.pem}", "b.pem"),
            ("ca", "tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}", "client_ca_file"),
            (
                "auth",
                "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}",
                "client_ca_file",
            ),
            ("hash", "basic_auth_users: {prom: secret}", "prom: not a bcrypt hash"),
            (
                "cost",
                "basic_auth_users: {prom: $2y$31$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}",
                "31",
            ),
            ("none", "basic_auth_users: {}", "no users"),
            ("yaml", "basic_auth_users: [", "line"),
        ] {
            let error = said(name, text).expect_err(name);
            assert!(error.contains(words), "{name}: {error}");
            assert!(
                !error.contains("secret") && !error.contains("$2y$"),
                "{name} shows what is secret: {error}"
            );
        }
    }
}
