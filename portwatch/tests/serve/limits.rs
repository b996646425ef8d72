//! Clients that take too much: of connections, of time, of memory.

use std::time::{Duration, Instant};

use portwatch::serve::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use super::stage::{DEADLINE, Stage, end, get, talk};

const SHORT: Duration = Duration::from_millis(300);

fn hasty() -> Stage {
    Stage::start(None, Limits { patience: SHORT, ..Limits::default() })
}

#[tokio::test]
async fn the_excess_of_connections_is_closed_at_once_and_counted() {
    let stage = Stage::start(None, Limits { connections: 3, ..Limits::default() });
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = stage.connect().await;
        assert!(talk(&mut stream, &get("/healthz", "")).await.is_some());
        open.push(stream);
    }
    let start = Instant::now();
    let mut excess = stage.connect().await;
    assert!(end(&mut excess).await.is_empty());
    assert!(start.elapsed() < DEADLINE / 4, "at once, not after a timeout");
    assert_eq!(stage.turned_away("connection-limit"), 1);
    assert!(talk(&mut open[0], &get("/metrics", "")).await.is_some(), "the others are served on");
    // A place that is given up can be taken.
    open.pop();
    let start = Instant::now();
    loop {
        let mut stream = stage.connect().await;
        if talk(&mut stream, &get("/healthz", "")).await.is_some() {
            break;
        }
        assert!(start.elapsed() < DEADLINE, "nobody gets in any more");
    }
    stage.stop().await;
}

#[tokio::test]
async fn who_sends_a_header_drop_by_drop_is_cut_off() {
    let stage = hasty();
    let (mut stream, start) = (stage.connect().await, Instant::now());
    let drops = async {
        for byte in get("/metrics", &"X-Slow: 1\r\n".repeat(100)).bytes() {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(SHORT / 10).await;
        }
        panic!("a header that took {:?} was read to its end", start.elapsed());
    };
    tokio::time::timeout(DEADLINE, drops).await.expect("cut off in time");
    assert_eq!(stage.turned_away("connection"), 1);
    // And so is who says nothing at all.
    let mut silent = stage.connect().await;
    assert!(end(&mut silent).await.is_empty());
    assert_eq!(stage.turned_away("connection"), 2);
    stage.stop().await;
}

#[tokio::test]
async fn an_idle_connection_ends_and_is_nobodys_fault() {
    let stage = hasty();
    let mut stream = stage.connect().await;
    assert!(talk(&mut stream, &get("/metrics", "")).await.is_some());
    assert!(end(&mut stream).await.is_empty());
    assert_eq!(stage.turned_away("connection"), 0);
    stage.stop().await;
}

#[tokio::test]
async fn no_connection_lives_for_ever() {
    let stage = Stage::start(None, Limits { life: SHORT, ..Limits::default() });
    let (mut stream, start) = (stage.connect().await, Instant::now());
    while talk(&mut stream, &get("/healthz", "")).await.is_some() {
        assert!(start.elapsed() < DEADLINE, "it is served for ever");
        sleep(SHORT / 30).await;
    }
    assert!(start.elapsed() >= SHORT / 2);
    stage.stop().await;
}

#[tokio::test]
async fn who_asks_and_never_reads_is_cut_off() {
    let stage = hasty();
    let mut stream = stage.connect().await;
    // Far more than the buffers of both sides hold.
    let request = get("/metrics", "").repeat(2_000);
    let write = tokio::time::timeout(SHORT * 4, stream.write_all(request.as_bytes())).await;
    sleep(SHORT * 4).await;
    let mut rest = Vec::new();
    let outcome = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("it ends");
    let answers = String::from_utf8_lossy(&rest).matches("HTTP/1.1 200").count();
    assert!(answers < 2_000, "all of it was answered: {write:?} {outcome:?}");
    assert_eq!(stage.get("/healthz", "").await.status, 200);
    stage.stop().await;
}

#[tokio::test]
async fn a_header_without_end_is_refused() {
    let stage = Stage::usual();
    for headers in ["X-Long: ".to_owned() + &"x".repeat(100_000), "X: y\r\n".repeat(10_000)] {
        let mut stream = stage.connect().await;
        let _ = stream.write_all(get("/metrics", &headers).as_bytes()).await;
        let said = end(&mut stream).await;
        // The refusal may be lost with the reset that follows what was not read.
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&said));
    }
    assert_eq!(stage.turned_away("connection"), 2);
    stage.stop().await;
}
