//! The server and its clients, over real sockets.

use super::client::{Agent, NoAgent};
use super::server::{Hub, Server, Who};
use super::*;
use crate::model::example;
use crate::owner::scratch::Scratch;
use crate::sink::Told;
use crate::who::Query;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Runtime;

struct Stage {
    _runtime: Runtime,
    hub: Hub,
    path: PathBuf,
    _folder: Scratch,
}

fn hello() -> Hello {
    Hello { protocol: PROTOCOL, version: "1".into(), pid: 7, backend: "fexit".into(), blind: vec![] }
}

fn stage(name: &str) -> Stage {
    let folder = Scratch::new(name);
    let path = folder.path().join("run/portwatch.sock");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let hub = Hub::new();
    let who: Who = Arc::new(|queries| {
        assert_eq!(queries, [Query { port: 53, protocol: Some(crate::model::Protocol::Udp) }]);
        Vec::new()
    });
    let server = runtime.block_on(async { Server::bind(&path, "no-such-group") }).expect("bound");
    assert!(server.notices[0].contains("groupadd --system no-such-group"), "{:?}", server.notices);
    runtime.spawn(server.run(hello(), hub.clone(), who));
    Stage { _runtime: runtime, hub, path, _folder: folder }
}

fn told(is_new: bool) -> Told {
    Told { conflict: Arc::new(example::client()), is_new }
}

/// Until the client's subscription has come about.
fn tell_until_heard(stage: &Stage, agent: &mut Agent) -> Answer {
    let hub = stage.hub.clone();
    let teller = std::thread::spawn(move || {
        for _ in 0..200 {
            hub.tell(&told(true));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let answer = agent.answer().expect("an answer").expect("not the end");
    drop(teller);
    answer
}

#[test]
fn a_client_hears_of_conflicts() {
    let stage = stage("tail-conflicts");
    let mut agent = Agent::follow(&stage.path).expect("an agent");
    assert_eq!(agent.hello, hello());
    assert_eq!(tell_until_heard(&stage, &mut agent), Answer::New(Box::new(example::client())));
}

#[test]
fn a_client_asks_who_holds_a_port() {
    let stage = stage("tail-who");
    let query = Query { port: 53, protocol: Some(crate::model::Protocol::Udp) };
    assert_eq!(Agent::who(&stage.path, &[query]).expect("an answer"), Vec::new());
}

fn raw(stage: &Stage, question: &str) -> String {
    let mut stream = UnixStream::connect(&stage.path).expect("connected");
    stream.write_all(question.as_bytes()).expect("written");
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    answer
}

#[test]
fn a_wrong_question_is_answered_with_what_is_wrong() {
    let stage = stage("tail-wrong");
    assert!(raw(&stage, "hello\n").contains("not understood"));
    assert!(raw(&stage, "{\"who\":{\"protocol\":1,\"ports\":[]}}\n").contains("1 to 64 ports"));
    assert!(raw(&stage, "{\"who\":{\"protocol\":1,\"ports\":[\"http\"]}}\n").contains("a port is a number"));
    assert!(raw(&stage, "{\"conflicts\":{\"protocol\":9}}\n").contains("version 1 of the protocol, not 9"));
}

#[test]
fn a_question_without_end_is_not_listened_to() {
    let stage = stage("tail-endless");
    let mut stream = UnixStream::connect(&stage.path).expect("connected");
    let endless = std::iter::repeat_n([b'x'; 4096], 4096);
    let refused = endless.into_iter().find_map(|part| stream.write_all(&part).err());
    assert!(refused.is_some(), "16 MiB were taken");
    assert!(Agent::follow(&stage.path).is_ok(), "others are served");
}

#[test]
fn only_a_dead_agents_socket_is_taken_over() {
    let stage = stage("tail-takeover");
    let bind = |path: &std::path::Path| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { Server::bind(path, "no-such-group").map(|_| ()) })
    };
    let error = bind(&stage.path).expect_err("an agent runs");
    assert!(error.to_string().contains("another agent answers"), "{error}");
    let dead = stage.path.with_file_name("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("bound"));
    assert!(matches!(Agent::follow(&dead), Err(NoAgent::Absent { .. })));
    bind(&dead).expect("taken over");
    let file = stage.path.with_file_name("file");
    std::fs::write(&file, "mine").expect("written");
    assert!(bind(&file).expect_err("no socket").to_string().contains("is no socket"));
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), "mine");
}

#[test]
fn nobody_else_may_ask() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = stage("tail-mode");
    let mode = std::fs::metadata(&stage.path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
