//! A conflict for the tests of those who only read conflicts.

use crate::model::{
    Action, Advice, AssignedBy, Cause, Conflict, Errno, Evidence, Holder, Operation, Process, Protocol,
    Range, SCHEMA, SocketOptions, State,
};
use jiff::Timestamp;

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// nginx wants a port that java got as a client.
pub(crate) fn client() -> Conflict {
    let victim = Process {
        pid: 4121,
        tid: Some(4121),
        start_time: Some(time("2026-11-24T03:12:43.9Z")),
        comm: "nginx".into(),
        exe: Some("/usr/sbin/nginx".into()),
        cmdline: Some("nginx -g 'daemon off;'".into()),
        uid: Some(0),
        cgroup: Some("/system.slice/nginx.service".into()),
        unit: Some("nginx.service".into()),
        slice: Some("system.slice".into()),
        ..Process::default()
    };
    let owner = Process {
        pid: 2210,
        tid: Some(2290),
        start_time: Some(time("2026-11-24T01:00:00Z")),
        comm: "java".into(),
        exe: Some("/usr/bin/java".into()),
        cmdline: Some("/usr/bin/java -Xmx4g org.apache.hadoop.hdfs.server.datanode.DataNode".into()),
        uid: Some(998),
        cgroup: Some("/system.slice/hdfs.service".into()),
        unit: Some("hdfs.service".into()),
        slice: Some("system.slice".into()),
        ..Process::default()
    };
    let reserve = Advice {
        action: Action::ReservePort,
        why: "keeps the kernel from choosing 50010 for clients; who asks for it by number still gets it. It does not free the port now".into(),
        commands: vec!["sysctl -w net.ipv4.ip_local_reserved_ports=50010".into()],
    };
    Conflict {
        schema: SCHEMA,
        id: "2c3d4e5f6-1019".into(),
        time: time("2026-11-24T03:12:44Z"),
        count: 1,
        first_time: time("2026-11-24T03:12:44Z"),
        operation: Operation::Bind,
        errno: Errno(98),
        protocol: Protocol::Tcp,
        address: "0.0.0.0".parse().expect("an address"),
        port: 50010,
        netns: 4_026_531_840,
        backend: "fexit".into(),
        victim,
        holders: vec![holder(owner)],
        cause: Cause::EphemeralClient,
        range: Range { low: 32768, high: 60999, in_range: true, reserved: false },
        advice: vec![reserve],
        options: Some(SocketOptions { reuse_address: true, ..SocketOptions::default() }),
        exhaustion: None,
    }
}

fn holder(owner: Process) -> Holder {
    Holder {
        process: Some(owner),
        unnamed_reason: None,
        creator: None,
        state: State::Established,
        local: Some("10.0.0.5:50010".parse().expect("an address")),
        remote: Some("10.0.0.9:2379".parse().expect("an address")),
        inode: Some(48_213),
        assigned_by: AssignedBy::Connect,
        ephemeral: true,
        assigned_time: Some(time("2026-11-24T02:31:40Z")),
        alive: true,
        evidence: Some(Evidence::KernelVerdict),
        sockets: None,
        options: Some(SocketOptions::default()),
    }
}
