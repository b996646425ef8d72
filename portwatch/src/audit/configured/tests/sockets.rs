//! Socket units: which there are, and which of their files count.

use super::*;

const ETC: &str = "etc/systemd/system";
const LIB: &str = "usr/lib/systemd/system";

fn wants(host: &Host, name: &str) {
    host.link(&format!("{ETC}/sockets.target.wants/{name}"), &format!("/{LIB}/{name}"));
}

#[test]
fn an_enabled_unit_is_told_with_its_place_and_a_disabled_one_is_not() {
    let host = Host::new("enabled");
    host.0.write(
        &format!("{LIB}/web.socket"),
        "[Unit]\nListenStream=1\n[Socket]\nListenStream=50051\nListenDatagram=10.0.0.1:50052\nListenStream=/run/web\n\
         ListenSequentialPacket=@x\nListenFIFO=/run/f\nListenStream=[fe80::1]:80%eth0\n",
    );
    host.0.write(&format!("{LIB}/off.socket"), "[Socket]\nListenStream=50060\n");
    wants(&host, "web.socket");
    assert_eq!(
        host.rows(),
        [
            "* 50051/tcp web.socket web.service",
            "10.0.0.1 50052/udp web.socket web.service",
            "fe80::1 80/tcp web.socket web.service"
        ]
    );
    let one = &host.found().0[1];
    assert_eq!((one.by, one.line), (ConfiguredBy::SystemdSocket, Some(5)));
    assert_eq!(one.path.as_deref(), Some(Path::new("/usr/lib/systemd/system/web.socket")));
}

#[test]
fn the_weightier_folder_wins_and_drop_ins_add_and_take_back() {
    let host = Host::new("precedence");
    host.0.write(&format!("{LIB}/a-b.socket"), "[Socket]\nListenStream=1\n");
    host.0.write(&format!("{ETC}/a-b.socket"), "[Socket]\nListenStream=2\n");
    host.0.write(&format!("{LIB}/a-b.socket.d/10-more.conf"), "[Socket]\nListenStream=3\n");
    host.0.write("run/systemd/system/a-b.socket.d/20-none.conf", "[Socket]\nListenStream=\nListenStream=4\n");
    host.0.write(&format!("{LIB}/socket.d/30-all.conf"), "[Socket]\nListenStream=5\n");
    host.0.write(
        &format!("{LIB}/a-.socket.d/25-kin.conf"),
        "[Socket]\nService=kin.service\nListenDatagram=6\n",
    );
    host.0.write(&format!("{LIB}/a-b.socket.d/40-gone.conf"), "[Socket]\nListenStream=7\n");
    host.link(&format!("{ETC}/a-b.socket.d/40-gone.conf"), "/dev/null");
    host.0.write(&format!("{LIB}/a-b.socket.d/readme"), "[Socket]\nListenStream=8\n");
    wants(&host, "a-b.socket");
    assert_eq!(
        host.rows(),
        [
            "* 4/tcp a-b.socket kin.service",
            "* 6/udp a-b.socket kin.service",
            "* 5/tcp a-b.socket kin.service"
        ]
    );
    let lines: Vec<_> = host.found().0.into_iter().map(|one| (one.path, one.line)).collect();
    assert_eq!(lines[0], (Some("/run/systemd/system/a-b.socket.d/20-none.conf".into()), Some(3)));
}

#[test]
fn masks_take_a_unit_away() {
    let host = Host::new("masks");
    for name in ["dev-null", "empty", "wish"] {
        host.0.write(&format!("{LIB}/{name}.socket"), "[Socket]\nListenStream=50051\n");
        host.link(&format!("{LIB}/sockets.target.wants/{name}.socket"), &format!("../{name}.socket"));
    }
    host.link(&format!("{ETC}/dev-null.socket"), "/dev/null");
    host.0.write(&format!("{ETC}/empty.socket"), "");
    assert_eq!(host.rows(), ["* 50051/tcp wish.socket wish.service"]);
    host.link(&format!("{ETC}/sockets.target.wants/wish.socket"), "/dev/null");
    assert_eq!(host.rows(), [] as [&str; 0]);
}

#[test]
fn templates_count_by_their_instances_and_aliases_once() {
    let host = Host::new("templates");
    host.0.write(
        &format!("{LIB}/t@.socket"),
        "[Socket]\nListenStream=127.0.0.1:%i\nAccept=yes\nListenStream=%i%i%i\n",
    );
    host.0.write(
        &format!("{LIB}/t@9001.socket.d/x.conf"),
        "[Socket]\nAccept=no\nListenStream=\nListenStream=9\n",
    );
    host.link(&format!("{ETC}/sockets.target.wants/t@9000.socket"), "/usr/lib/systemd/system/t@.socket");
    host.link(&format!("{ETC}/some.service.requires/t@9001.socket"), "/usr/lib/systemd/system/t@.socket");
    wants(&host, "t@.socket");
    host.0.write(&format!("{LIB}/real.socket"), "[Socket]\nListenStream=7\nSocketProtocol=sctp\n");
    host.link(&format!("{ETC}/alias.socket"), "/usr/lib/systemd/system/real.socket");
    host.link(&format!("{ETC}/sockets.target.wants/alias.socket"), "../alias.socket");
    wants(&host, "real.socket");
    host.0.write("opt/x/linked.socket", "[Socket]\nListenStream=8\nService=other.service\n");
    host.link(&format!("{ETC}/linked.socket"), "/opt/x/linked.socket");
    host.link(&format!("{ETC}/multi-user.target.wants/linked.socket"), "/opt/x/linked.socket");
    let (found, notes) = host.found();
    assert_eq!(
        found.iter().map(row).collect::<Vec<_>>(),
        [
            "* 8/tcp linked.socket other.service",
            "* 7/sctp real.socket real.service",
            "127.0.0.1 9000/tcp t@9000.socket t@.service",
            "* 9/tcp t@9001.socket t@9001.service"
        ]
    );
    assert!(notes.len() == 1 && notes[0].contains("t@.socket:4: ListenStream=%i%i%i"), "{notes:?}");
}

#[test]
fn hostile_files_are_told_and_hold_up_nothing() {
    let host = Host::new("hostile");
    host.0.write(&format!("{LIB}/good.socket"), "[Socket]\nListenStream=50051\n");
    host.0.write(&format!("{LIB}/huge.socket"), &"#".repeat(2 << 20));
    host.0.write(&format!("{LIB}/folder.socket/x"), "");
    host.pipe(&format!("{LIB}/pipe.socket"));
    host.pipe(&format!("{LIB}/good.socket.d/pipe.conf"));
    host.link(&format!("{LIB}/self.socket"), "self.socket");
    host.link(&format!("{LIB}/one.socket"), "two.socket");
    host.link(&format!("{LIB}/two.socket"), "one.socket");
    let binary = host.0.path().join(format!("{LIB}/binary.socket"));
    std::fs::write(binary, b"[Socket]\nListenStream=\xff\xfe\x1b[2J\nListenStream=50052\n").expect("a file");
    for name in ["good", "huge", "folder", "pipe", "self", "one", "binary", "absent"] {
        wants(&host, &format!("{name}.socket"));
    }
    let (found, notes) = host.found();
    assert_eq!(
        found.iter().map(row).collect::<Vec<_>>(),
        ["* 50052/tcp binary.socket binary.service", "* 50051/tcp good.socket good.service"]
    );
    for part in [
        "binary.socket:2: ListenStream=",
        "folder.socket could not be read: it is not a regular file",
        "pipe.conf could not be read: it is not a regular file",
        "huge.socket could not be read: it is larger",
        "pipe.socket could not be read: it is not a regular file",
        "self.socket could not be read",
        "one.socket: its names lead in a circle",
    ] {
        assert!(notes.iter().any(|note| note.contains(part)), "{part}: {notes:#?}");
    }
    assert!(!notes.iter().any(|note| note.contains("absent") || note.contains('\u{1b}')), "{notes:#?}");
}
