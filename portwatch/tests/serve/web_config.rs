//! TLS and passwords by the file, and what its changes do while the server runs.

use std::fs;
use std::sync::Arc;

use portwatch::serve::Limits;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::stage::{Folder, Reply, Stage, end, fixture, get, talk};

const RIGHT: &str = "Authorization: Basic cHJvbTpzZWNyZXQ=\r\n";
const WRONG: &str = "Authorization: Basic cHJvbTp3cm9uZw==\r\n";
const UNKNOWN: &str = "Authorization: Basic bm9ib2R5OnNlY3JldA==\r\n";
const NEW: &str = "Authorization: Basic cHJvbTpuZXc=\r\n";
const TLS: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";

fn users(password: &str) -> String {
    // The lowest cost that there is: what a hash costs is not tested here.
    format!("basic_auth_users:\n  prom: {}\n", bcrypt::hash(password, 4).expect("a hash"))
}

fn stage(folder: &Folder, text: &str) -> Stage {
    folder.write("web.yml", text);
    Stage::start(Some(folder.open()), Limits::default())
}

#[tokio::test]
async fn only_the_right_password_opens() {
    let folder = Folder::new();
    let stage = stage(&folder, &users("secret"));
    assert_eq!(stage.get("/metrics", RIGHT).await.status, 200);
    for (name, header) in [
        ("none", ""),
        ("wrong", WRONG),
        ("unknown", UNKNOWN),
        ("no base64", "Authorization: Basic ?\r\n"),
        ("another scheme", "Authorization: Bearer cHJvbTpzZWNyZXQ=\r\n"),
    ] {
        let reply = stage.get("/metrics", header).await;
        assert_eq!(reply.status, 401, "{name}");
        assert!(reply.header("www-authenticate").is_some_and(|said| said.starts_with("Basic realm=")));
        assert!(!reply.body.contains("portwatch_"));
    }
    assert_eq!(stage.turned_away("unauthorized"), 5);
    // What there is, is not told to strangers either; probes know no password.
    assert_eq!(stage.get("/", "").await.status, 401);
    assert_eq!(stage.get("/nothing", "").await.status, 401);
    assert_eq!(stage.get("/nothing", RIGHT).await.status, 404);
    assert_eq!(stage.get("/healthz", "").await.status, 200);
    assert_eq!(stage.get("/readyz", WRONG).await.status, 503);
    stage.stop().await;
}

#[tokio::test]
async fn the_file_is_read_again_when_it_changes_and_a_broken_one_lets_nobody_in() {
    let folder = Folder::new();
    let stage = stage(&folder, &users("secret"));
    // On one connection all the time: it counts for the next request, not only for the next client.
    let mut stream = stage.connect().await;
    let mut status = async |path: &str, header: &str| {
        talk(&mut stream, &get(path, header)).await.map(|reply| reply.status).expect("an answer")
    };
    assert_eq!(status("/metrics", RIGHT).await, 200);
    folder.write("web.yml", &users("new"));
    assert_eq!((status("/metrics", RIGHT).await, status("/metrics", NEW).await), (401, 200));
    folder.write("web.yml", "basic_auth_user:\n  prom: misspelt\n");
    for path in ["/metrics", "/healthz", "/"] {
        assert_eq!(status(path, NEW).await, 500, "{path}");
    }
    assert_eq!(stage.turned_away("web-config"), 3);
    folder.write("web.yml", &users("secret"));
    assert_eq!(status("/metrics", RIGHT).await, 200);
    fs::remove_file(folder.path("web.yml")).expect("gone");
    assert_eq!(status("/metrics", RIGHT).await, 500, "a file that is gone is no open door");
    folder.write("web.yml", "");
    assert_eq!(status("/metrics", "").await, 200, "an empty one wants nothing");
    stage.stop().await;
}

#[tokio::test]
async fn tls_is_spoken_with_the_certificate_of_the_file() {
    let folder = Folder::new();
    let stage = stage(&folder, &format!("{TLS}{}", users("secret")));
    for version in [&TLS12, &TLS13] {
        let mut stream = handshake(&stage, version, None).await.expect("a handshake");
        assert_eq!(talk(&mut stream, &get("/metrics", RIGHT)).await.map(|reply| reply.status), Some(200));
        assert_eq!(talk(&mut stream, &get("/metrics", "")).await.map(|reply| reply.status), Some(401));
        assert_eq!(peer(&stream), certificate("server.pem"));
    }
    let mut plain = stage.connect().await;
    let reply = talk(&mut plain, &get("/metrics", RIGHT)).await;
    assert!(reply.is_none(), "nothing is said without TLS: {reply:?}");
    end(&mut plain).await;
    assert_eq!(stage.turned_away("connection"), 1);
    stage.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart() {
    let folder = Folder::new();
    let stage = stage(&folder, TLS);
    let before = handshake(&stage, &TLS13, None).await.expect("a handshake");
    assert_eq!(peer(&before), certificate("server.pem"));
    let renew = |name: &str| {
        let text = fs::read_to_string(fixture(&format!("renewed.{name}"))).expect("a fixture");
        folder.write(&format!("server.{name}"), &text);
    };
    renew("pem");
    // Half-way the certificate is of another key; that is told, by the old one.
    let mut between = handshake(&stage, &TLS13, None).await.expect("a handshake");
    assert_eq!(talk(&mut between, &get("/metrics", "")).await.map(|reply| reply.status), Some(500));
    renew("key");
    let mut after = handshake(&stage, &TLS13, None).await.expect("a handshake");
    assert_eq!(peer(&after), certificate("renewed.pem"));
    assert_eq!(talk(&mut after, &get("/metrics", "")).await.map(|reply| reply.status), Some(200));
    stage.stop().await;
}

#[tokio::test]
async fn a_connection_from_before_tls_was_wanted_gets_nothing_more() {
    let folder = Folder::new();
    let stage = stage(&folder, "");
    let mut stream = stage.connect().await;
    assert_eq!(talk(&mut stream, &get("/metrics", "")).await.map(|reply| reply.status), Some(200));
    folder.write("web.yml", TLS);
    let reply: Reply = talk(&mut stream, &get("/metrics", "")).await.expect("an answer");
    assert_eq!(reply.status, 400);
    assert!(end(&mut stream).await.is_empty(), "and the connection ends");
    assert!(handshake(&stage, &TLS13, None).await.is_ok());
    stage.stop().await;
}

#[tokio::test]
async fn clients_may_be_asked_for_a_certificate_and_old_versions_refused() {
    let folder = Folder::new();
    let more =
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  min_version: TLS13\n";
    let stage = stage(&folder, &format!("{TLS}{more}"));
    let mut known = handshake(&stage, &TLS13, Some("client")).await.expect("a handshake");
    assert_eq!(talk(&mut known, &get("/metrics", "")).await.map(|reply| reply.status), Some(200));
    // In TLS 1.3 the client learns of the refusal only when it reads.
    if let Ok(mut stranger) = handshake(&stage, &TLS13, None).await {
        assert!(talk(&mut stranger, &get("/metrics", "")).await.is_none());
    }
    assert!(handshake(&stage, &TLS12, Some("client")).await.is_err());
    stage.stop().await;
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(fixture(name)).expect("a certificate")
}

fn peer(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let shown = stream.get_ref().1.peer_certificates().expect("certificates");
    shown[0].clone().into_owned()
}

async fn handshake(
    stage: &Stage,
    version: &'static SupportedProtocolVersion,
    client: Option<&str>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca.pem")).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots);
    let config = match client {
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(fixture(&format!("{name}.key"))).expect("a key");
            builder.with_client_auth_cert(vec![certificate(&format!("{name}.pem"))], key).expect("a client")
        }
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stage.connect().await).await
}
