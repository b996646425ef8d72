//! Routes, methods and formats.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::stage::{DEADLINE, Stage, end, get, talk};

#[tokio::test]
async fn both_formats_are_served_by_what_is_asked_for() {
    let stage = Stage::usual();
    let prometheus =
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";
    let reply = stage.get("/metrics", prometheus).await;
    assert_eq!(reply.status, 200);
    let kind = reply.header("content-type").expect("a type");
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(reply.body.ends_with("# EOF\n") && reply.body.contains("# TYPE portwatch_conflicts counter\n"));

    let reply = stage.get("/metrics", "").await;
    assert_eq!(reply.header("content-type").expect("a type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(
        !reply.body.contains("# EOF") && reply.body.contains("# TYPE portwatch_conflicts_total counter\n")
    );
    let at_0 =
        "portwatch_conflicts_total{protocol=\"tcp\",operation=\"bind\",cause=\"ephemeral-client\"} 0\n";
    assert!(reply.body.contains(at_0));
    stage.stop().await;
}

#[tokio::test]
async fn every_route_answers_and_ready_is_when_the_hooks_are() {
    let stage = Stage::usual();
    assert_eq!(stage.get("/healthz", "").await.status, 200);
    assert_eq!(stage.get("/readyz", "").await.status, 503);
    stage.ready.store(true, Ordering::Relaxed);
    assert_eq!(stage.get("/readyz", "").await.status, 200);
    let landing = stage.get("/", "").await;
    assert!(landing.status == 200 && landing.body.contains("href=\"/metrics\""));
    assert_eq!(landing.header("content-type"), Some("text/html; charset=utf-8"));
    for path in ["/metrics/", "/debug/pprof", "//metrics", "/%6d", "/metrics%00"] {
        assert_eq!(stage.get(path, "").await.status, 404, "{path}");
    }
    assert_eq!(stage.get("/metrics?name[]=x", "").await.status, 200, "a query asks for nothing here");
    let reply = stage.ask("HTTP/1.1 or whatever\r\n\r\n").await;
    assert_eq!(reply.status, 400);
    stage.stop().await;
}

#[tokio::test]
async fn only_get_and_head_are_understood() {
    let stage = Stage::usual();
    let head = stage.ask("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let length: usize = head.header("content-length").expect("a length").parse().expect("a number");
    assert!(head.status == 200 && length > 1000, "{length}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let reply =
            stage.ask(&format!("{method} /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_a_body_is_not_waited_for() {
    let stage = Stage::usual();
    let mut stream = stage.connect().await;
    for _ in 0..20 {
        let reply = talk(&mut stream, &get("/metrics", "")).await.expect("an answer");
        assert_eq!(reply.status, 200);
    }
    let start = Instant::now();
    let reply = stage.get("/healthz", "Content-Length: 1000000000\r\nExpect: 100-continue\r\n").await;
    assert_eq!(reply.status, 200, "the answer itself, and no invitation to send the body");
    assert!(start.elapsed() < DEADLINE / 4);
    // HTTP/1.0 ends with its answer.
    let mut old = stage.connect().await;
    assert_eq!(talk(&mut old, "GET /healthz HTTP/1.0\r\n\r\n").await.map(|reply| reply.status), Some(200));
    assert!(end(&mut old).await.is_empty());
    stage.stop().await;
}

#[tokio::test]
async fn whatever_a_client_sends_the_next_one_is_served() {
    let stage = Stage::usual();
    let tls = "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}";
    for garbage in
        ["\0\0\0\0\0\0\0\0", tls, "GET / HTTP/9.9\r\n\r\n", "GET /\r\n\r\n", "\r\n\r\n\r\nX", "GET /"]
    {
        let mut stream = stage.connect().await;
        let _ = stream.write_all(garbage.as_bytes()).await;
        let _ = stream.shutdown().await;
        end(&mut stream).await;
    }
    assert_eq!(stage.get("/healthz", "").await.status, 200);
    assert!(stage.turned_away("connection") >= 3, "{}", stage.turned_away("connection"));
    stage.stop().await;
}

#[tokio::test]
async fn the_end_does_not_wait_for_idle_clients() {
    let stage = Stage::usual();
    let mut idle = stage.connect().await;
    assert!(talk(&mut idle, &get("/healthz", "")).await.is_some());
    let mut silent = stage.connect().await;
    let (at, start) = (stage.at, Instant::now());
    stage.stop().await;
    assert!(start.elapsed() < DEADLINE / 2, "{:?}", start.elapsed());
    assert!(end(&mut idle).await.is_empty() && end(&mut silent).await.is_empty());
    assert!(TcpStream::connect(at).await.is_err(), "nobody listens any more");
}
