//! Nodes of Kubernetes.

use super::*;

impl Host {
    fn process(&self, pid: u32, uid: u32, netns: u32, arguments: &[&str]) {
        let comm = arguments[0].rsplit('/').next().unwrap_or_default();
        let fields: Vec<_> = (4..=52).map(|field| field.to_string()).collect();
        self.0.write(&format!("proc/{pid}/comm"), &format!("{comm}\n"));
        self.0.write(&format!("proc/{pid}/stat"), &format!("{pid} ({comm}) S {}", fields.join(" ")));
        self.0.write(&format!("proc/{pid}/status"), &format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n"));
        self.0.write(&format!("proc/{pid}/cgroup"), &format!("0::/system.slice/{comm}.service\n"));
        self.0.write(&format!("proc/{pid}/cmdline"), &format!("{}\0", arguments.join("\0")));
        self.link(&format!("proc/{pid}/ns/net"), &format!("net:[{netns}]"));
    }
}

const DEFAULT: [&str; 2] = [
    "* 30000-32767/tcp NodePort range (the default; no kube-apiserver on this host says otherwise) -",
    "* 30000-32767/udp NodePort range (the default; no kube-apiserver on this host says otherwise) -",
];

#[test]
fn a_running_kubelet_has_its_usual_ports() {
    let host = Host::new("kubelet");
    host.process(1, 0, 7, &["/sbin/init"]);
    host.process(70, 0, 7, &["/usr/bin/kubelet", "--v=2"]);
    let mut rows = vec![
        "* 10250/tcp kubelet kubelet.service",
        "* 10255/tcp kubelet (read-only) kubelet.service",
        "127.0.0.1 10248/tcp kubelet (healthz) kubelet.service",
    ];
    rows.extend(DEFAULT);
    assert_eq!(host.rows(), rows);
}

#[test]
fn flags_weigh_more_than_drop_ins_and_these_more_than_the_file() {
    let host = Host::new("kubelet-config");
    host.process(
        70,
        0,
        7,
        &["kubelet", "--config=/etc/kubelet.yaml", "--config-dir", "/etc/kubelet.d", "--port=4"],
    );
    host.0.write("etc/kubelet.yaml", "port: 1\naddress: 10.0.0.1\nhealthzPort: 2\nreadOnlyPort: 3\n");
    host.0.write("etc/kubelet.d/10-a.conf", "healthzPort: 5\nport: 5\n");
    host.0.write("etc/kubelet.d/20-b.conf", "healthzPort: 6\nreadOnlyPort: 0\n");
    host.0.write("etc/kubelet.d/30-c.yaml", "healthzPort: 7\n");
    let rows = host.rows();
    assert_eq!(
        rows[..2],
        ["10.0.0.1 4/tcp kubelet kubelet.service", "127.0.0.1 6/tcp kubelet (healthz) kubelet.service"]
    );
    assert_eq!(rows[2..], DEFAULT);
}

#[test]
fn a_node_whose_kubelet_is_down_is_known_by_its_configuration() {
    let host = Host::new("kubelet-down");
    host.0.write("var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\nport: 50250\nhealthzPort: 0\n");
    let found = host.found().0;
    assert_eq!(row(&found[0]), "* 50250/tcp kubelet -");
    assert_eq!(found[0].path.as_deref(), Some(Path::new("/var/lib/kubelet/config.yaml")));
    assert_eq!(found[1..].iter().map(row).collect::<Vec<_>>(), DEFAULT);
}

#[test]
fn the_range_is_the_api_servers_by_process_or_manifest() {
    let host = Host::new("apiserver");
    let manifest =
        "spec:\n  containers:\n  - command: [kube-apiserver, --service-node-port-range=40000-41000]\n";
    host.0.write("etc/kubernetes/manifests/kube-apiserver.yaml", manifest);
    let name = "of the manifest /etc/kubernetes/manifests/kube-apiserver.yaml";
    assert_eq!(host.rows()[0], format!("* 40000-41000/tcp NodePort range ({name}) -"));
    host.process(80, 0, 7, &["kube-apiserver", "--service-node-port-range", "20000+10"]);
    assert_eq!(host.rows()[0], "* 20000-20010/tcp NodePort range (of kube-apiserver[80]) -");
    host.0.write("proc/80/cmdline", "kube-apiserver\0--service-node-port-range=oops\0");
    let (found, notes) = host.found();
    assert!(row(&found[1]).starts_with("* 30000-32767/udp") && notes[0].contains("=oops is no range"));
}

#[test]
fn kube_proxy_and_k3s() {
    let host = Host::new("proxy");
    host.process(
        90,
        0,
        7,
        &["kube-proxy", "--config=/var/lib/kube-proxy/config.conf", "--healthz-bind-address=10.0.0.1:11"],
    );
    let (found, notes) = host.found();
    assert_eq!(
        found.iter().map(row).collect::<Vec<_>>(),
        [
            "127.0.0.1 10249/tcp kube-proxy (metrics) kube-proxy.service",
            "10.0.0.1 11/tcp kube-proxy (healthz) kube-proxy.service"
        ]
    );
    assert!(notes.len() == 1 && notes[0].contains("stands in its container"), "{notes:?}");
    let host = Host::new("k3s");
    host.process(91, 0, 7, &["k3s-server", "--kubelet-arg=port=12", "--service-node-port-range=1000-2000"]);
    assert_eq!(
        host.rows()[..4],
        [
            "* 12/tcp kubelet k3s-server.service",
            "127.0.0.1 10248/tcp kubelet (healthz) k3s-server.service",
            "127.0.0.1 10249/tcp kube-proxy (metrics) k3s-server.service",
            "* 10256/tcp kube-proxy (healthz) k3s-server.service"
        ]
    );
    assert!(host.rows()[4].starts_with("* 1000-2000/tcp NodePort range (of k3s-server[91])"));
}

#[test]
fn a_process_that_only_has_the_name_is_not_believed() {
    let host = Host::new("impostor");
    host.process(1, 0, 7, &["init"]);
    host.process(70, 1_000, 7, &["kubelet", "--port=1"]);
    assert_eq!(host.found(), (vec![], vec![]));
    host.process(71, 0, 8, &["kubelet"]);
    let (found, notes) = host.found();
    assert!(
        found.is_empty()
            && notes == ["kubelet[71] runs in another network namespace; its ports are not looked at"]
    );
}

#[test]
fn a_configuration_that_cannot_be_read_leaves_the_usual_ports_and_is_told() {
    let host = Host::new("kubelet-broken");
    host.process(70, 0, 7, &["kubelet", "--config=/etc/kubelet.yaml"]);
    for (content, part) in [(None, "no such file"), (Some("port: ["), "not YAML"), (Some("port: x"), "")] {
        if let Some(content) = content {
            host.0.write("etc/kubelet.yaml", content);
        }
        let (found, notes) = host.found();
        assert_eq!(row(&found[0]), "* 10250/tcp kubelet kubelet.service");
        assert!(!found.iter().any(|one| one.name.contains("read-only")));
        assert!(notes.iter().any(|note| note.contains(part)) || part.is_empty(), "{notes:?}");
    }
}
