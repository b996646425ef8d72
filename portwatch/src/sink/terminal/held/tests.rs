//! What people see of a port, at 80 columns.

use super::{Form, write};
use crate::model::{
    AssignedBy, Evidence, HeldPort, HeldSocket, NamespaceRange, Process, Protocol, Range, Role, SCHEMA,
    State, UnnamedReason,
};
use crate::text;
use anstream::StripStream;
use jiff::Timestamp;

fn held(role: Role, state: State, remote: Option<&str>, process: Option<(&str, u32)>) -> HeldSocket {
    let process = process.map(|(comm, pid)| Process { comm: comm.to_owned(), pid, ..Process::default() });
    HeldSocket {
        netns: 7,
        netns_name: None,
        protocol: Protocol::Tcp,
        local: Some("10.0.0.1:8080".parse().expect("an address")),
        remote: remote.map(|remote| remote.parse().expect("an address")),
        state,
        role,
        inode: Some(99),
        uid: Some(33),
        user: Some("www-data".to_owned()),
        unnamed_reason: process.is_none().then_some(UnnamedReason::NotRecorded),
        evidence: process.is_some().then_some(Evidence::SocketDump),
        process,
        others: Vec::new(),
        assigned_by: AssignedBy::Preexisting,
        ephemeral: false,
        creator: None,
        ends_in_ms: (role == Role::TimeWait).then_some(40_100),
    }
}

fn port(holders: Vec<HeldSocket>) -> HeldPort {
    let range = Some(Range { low: 32_768, high: 60_999, in_range: false, reserved: false });
    HeldPort {
        schema: SCHEMA,
        time: Timestamp::UNIX_EPOCH,
        port: 8080,
        protocols: vec![Protocol::Tcp, Protocol::Udp],
        holders,
        namespaces: vec![NamespaceRange { netns: 7, netns_name: None, own: true, range }],
        earlier: Vec::new(),
        unseen: vec!["one".to_owned(), "who held it earlier is not known".to_owned()],
        advice: Vec::new(),
    }
}

fn shown(ports: &[HeldPort], form: Form, width: usize) -> String {
    let mut out = StripStream::new(Vec::new());
    write(&mut out, ports, form, width).expect("a vector takes everything");
    String::from_utf8(out.into_inner()).expect("UTF-8")
}

#[test]
fn many_connections_are_one_line() {
    let mut holders = vec![held(Role::Listener, State::Listen, None, Some(("nginx", 33)))];
    holders[0].others = vec![Process::default(); 2];
    let accepted = held(Role::Accepted, State::Established, Some("10.0.0.9:443"), Some(("nginx", 33)));
    holders.extend(vec![accepted; 412]);
    holders.push(held(Role::TimeWait, State::TimeWait, Some("10.0.0.9:444"), None));
    let table = shown(&[port(holders)], Form::Table, 80);
    let expected = "\
port 8080: 1 listener, 412 accepted connections, 1 in TIME_WAIT
  in this network namespace, outside the ephemeral range 32768-60999
  STATE        PROTO  LOCAL          REMOTE        HELD BY
  LISTEN       tcp    10.0.0.1:8080  -             nginx[33] +2
  ESTABLISHED  tcp    412 accepted connections of nginx[33]
  TIME_WAIT    tcp    10.0.0.1:8080  10.0.0.9:444  ends in 41 s
note: one
note: who held it earlier is not known
";
    assert_eq!(table, expected);
}

#[test]
fn nobody_is_a_sentence_and_notes_come_once() {
    let table = shown(&[port(Vec::new()), port(Vec::new())], Form::Table, 80);
    let nobody = "port 8080: nobody holds it (tcp, udp; 1 network namespace looked into)\n";
    assert_eq!(table, format!("{nobody}{nobody}note: one\nnote: who held it earlier is not known\n"));
}

#[test]
fn long_addresses_and_hostile_names_stay_in_their_columns() {
    let mut client =
        held(Role::Client, State::Established, None, Some(("\u{1b}[2J\u{202e}evil-name-of-15", 4_194_304)));
    client.local = "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:8080".parse().ok();
    client.remote = "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:1]:65535".parse().ok();
    client.protocol = Protocol::UdpLite;
    let port = port(vec![client]);
    for width in 80..200 {
        let table = shown(std::slice::from_ref(&port), Form::Table, width);
        assert!(table.lines().all(|line| text::width(line) <= width), "{width}: {table}");
        assert!(
            table.contains(":8080") && table.contains(":65535") && table.contains("[4194304]"),
            "{table}"
        );
        assert!(!table.contains(['\u{1b}', '\u{202e}']), "{table:?}");
    }
    let wide = shown(std::slice::from_ref(&port), Form::Wide, 80);
    assert!(wide.contains("[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:8080 -> "), "{wide}");
    assert!(wide.contains("inode 99, uid 33 (www-data)") && !wide.contains(['\u{1b}', '\u{202e}']), "{wide}");
}
