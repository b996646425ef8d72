//! Names and passwords of basic authentication, against bcrypt hashes.
//!
//! A hash takes a quarter of a second of a processor, so: one at a time, away from the runtime's threads, and who was
//! right before need not be hashed again. Who is not known is hashed all the same, so that time does not tell names.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

/// Verified pairs that are remembered; then all are forgotten.
const REMEMBERED: usize = 100;
/// Bytes of a header that are looked at: no name and password are longer.
const LONGEST: usize = 1_024;

/// Those who were right, by a digest of name, hash and password.
#[derive(Debug)]
pub(super) struct Verifier {
    verified: Mutex<HashSet<[u8; 32]>>,
    turn: Semaphore,
}

impl Verifier {
    pub(super) fn new() -> Self {
        Self { verified: Mutex::default(), turn: Semaphore::new(1) }
    }

    /// Whether the `Authorization` header is of one of the users: name → hash.
    pub(super) async fn admits(&self, users: &BTreeMap<String, String>, header: Option<&[u8]>) -> bool {
        let Some((name, password)) = header.and_then(credentials) else { return false };
        let known = users.get(&name);
        // Any user's hash costs an unknown name what its own would cost a known one.
        let Some(hash) = known.or_else(|| users.values().next()).cloned() else { return false };
        let digest = digest(&[name.as_bytes(), hash.as_bytes(), &password]);
        let is_known = known.is_some();
        if is_known && self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest) {
            return true;
        }
        let Ok(_turn) = self.turn.acquire().await else { return false };
        let verify = move || bcrypt::verify(&password, &hash).unwrap_or(false);
        let is_right = tokio::task::spawn_blocking(verify).await.unwrap_or(false) && is_known;
        if is_right {
            let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
            if verified.len() >= REMEMBERED {
                verified.clear();
            }
            verified.insert(digest);
        }
        is_right
    }
}

/// Each part with its length, so that no two lists have one digest.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// `Basic <base64 of name:password>`.
fn credentials(header: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") || rest.len() > LONGEST {
        return None;
    }
    let pair = base64(rest.trim_ascii())?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some((String::from_utf8(pair[..colon].to_vec()).ok()?, pair[colon + 1..].to_vec()))
}

/// The usual alphabet; padding may be left out, and nothing may follow it.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
    let (digits, padding) = text.split_at(end);
    if padding.len() > 2 || padding.iter().any(|byte| *byte != b'=') || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for byte in group {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_header_is_read() {
        let of = |text: &str| credentials(text.as_bytes());
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.as_bytes().to_vec()));
        assert_eq!(of("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(of("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ"), pair("Aladdin", "open sesame"));
        assert_eq!(of("Basic YTo="), pair("a", ""));
        assert_eq!(of("Basic YTpiOmM="), pair("a", "b:c"), "only the first colon parts");
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Bearer YTpi",
            "Basic YWJj",
            "Basic YTp!",
            "Basic YTpi=====",
            "Basic YTo=YTo=",
        ] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
        assert_eq!(of(&format!("Basic {}", "YTpi".repeat(1000))), None, "too long");
    }

    fn header(name: &str, password: &str) -> Vec<u8> {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let pair = format!("{name}:{password}");
        let mut text = b"Basic ".to_vec();
        for group in pair.as_bytes().chunks(3) {
            let mut bytes = [0; 4];
            bytes[1..=group.len()].copy_from_slice(group);
            let bits = u32::from_be_bytes(bytes);
            text.extend((0..=group.len()).map(|digit| DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
        text
    }

    #[tokio::test]
    async fn who_is_right_comes_in_and_is_not_hashed_again() {
        let hash = bcrypt::hash("secret", 8).expect("a hash");
        let users = BTreeMap::from([("prom".to_owned(), hash)]);
        let verifier = Verifier::new();
        assert!(verifier.admits(&users, Some(&header("prom", "secret"))).await);
        let again = Instant::now();
        for _ in 0..200 {
            assert!(verifier.admits(&users, Some(&header("prom", "secret"))).await);
        }
        assert!(again.elapsed().as_millis() < 500, "{:?}: hashed again", again.elapsed());
        for (name, password) in [("prom", "Secret"), ("prom", ""), ("root", "secret"), ("", "secret")] {
            assert!(!verifier.admits(&users, Some(&header(name, password))).await, "{name}:{password}");
        }
        assert!(!verifier.admits(&users, None).await);
        // Another password is another hash, and the old pair is of no use any more.
        let changed = BTreeMap::from([("prom".to_owned(), bcrypt::hash("new", 4).expect("a hash"))]);
        assert!(!verifier.admits(&changed, Some(&header("prom", "secret"))).await);
        assert!(verifier.admits(&changed, Some(&header("prom", "new"))).await);
    }

    #[tokio::test]
    async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
        let users = BTreeMap::from([("prom".to_owned(), bcrypt::hash("secret", 9).expect("a hash"))]);
        let verifier = Verifier::new();
        let time = async |name| {
            let start = Instant::now();
            assert!(!verifier.admits(&users, Some(&header(name, "wrong"))).await);
            start.elapsed()
        };
        let (known, unknown) = (time("prom").await, time("nobody").await);
        assert!(unknown > known / 4, "{known:?} and {unknown:?}");
    }
}
