//! Ports of Kubernetes: those of the kubelet and kube-proxy, and the range that a cluster gives to services of the type
//! NodePort, where a kubelet runs or is configured. `flags` reads arguments, `processes` finds them, `files` reads YAML.
//!
//! k3s is its own kubelet: its command line is read, its configuration file is not.

mod files;
mod flags;
mod processes;

use super::Configured;
use crate::model::{ConfiguredBy, Protocol};
use crate::owner::rooted::Root;
use crate::text;
use files::{Config, MANIFESTS};
use flags::Flags;
use processes::{Found, Process};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Where kubeadm puts it.
const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// What a cluster has unless told otherwise.
const NODE_PORTS: RangeInclusive<u16> = 30_000..=32_767;

/// All of them; nothing on a host that is no node.
pub(super) fn read(root: &Root, path: &Path, notes: &mut Vec<String>) -> Vec<Configured> {
    let Found { kubelet, proxy, server } = processes::find(root, path, notes);
    let (mut found, is_node) = of_kubelet(root, kubelet.as_ref(), notes);
    if let Some(proxy) = &proxy {
        found.extend(of_proxy(proxy));
        if let Some(config) = proxy.flags.value("config") {
            notes.push(format!(
                "kube-proxy[{}]: its configuration {} stands in its container and was not read; its usual ports are told",
                proxy.pid,
                text::printable(config)
            ));
        }
    }
    let from_server = of_server(root, server.as_ref(), notes);
    match from_server {
        Some((ports, whose, file)) => found.extend(node_ports(&ports, &whose, file.as_deref())),
        None if is_node => {
            let whose = "the default; no kube-apiserver on this host says otherwise";
            found.extend(node_ports(&NODE_PORTS, whose, None));
        }
        None => {}
    }
    found
}

/// Its ports, and whether there is one.
fn of_kubelet(root: &Root, process: Option<&Process>, notes: &mut Vec<String>) -> (Vec<Configured>, bool) {
    let none = Flags::default();
    let flags = process.map_or(&none, |process| &process.flags);
    let given = flags.value("config");
    let file = match (given, process) {
        (Some(given), _) => Some(given.to_owned()),
        (None, None) => Some(KUBELET_CONFIG.to_owned()),
        (None, Some(_)) => None,
    };
    let config = file.as_deref().and_then(|file| {
        let must_be = given.is_some();
        Config::read(root, file, must_be, notes)
    });
    if process.is_none() && config.is_none() {
        return (Vec::new(), false);
    }
    let drop_ins = flags.value("config-dir").map(|folder| Config::all_in(root, folder, notes));
    // Flags weigh more than files, and a later file more than an earlier one.
    let files: Vec<&Config> = drop_ins.iter().flatten().rev().chain(&config).collect();
    let number = |flag: &str, key: &str, usual: u16| {
        let of_files = || files.iter().find_map(|config| config.number(key));
        flags.value(flag).and_then(|text| text.parse().ok()).or_else(of_files).unwrap_or(usual)
    };
    let address = |flag: &str, key: &str, usual: &str| {
        let of_files = || files.iter().find_map(|config| config.text(key));
        flags.value(flag).map(str::to_owned).or_else(of_files).unwrap_or_else(|| usual.to_owned())
    };
    let everywhere = address("address", "address", "0.0.0.0");
    // Without a file the kubelet still opens the port for readers; with one it must be asked for.
    let read_only = if files.is_empty() && given.is_none() { 10_255 } else { 0 };
    let ports = [
        ("kubelet", number("port", "port", 10_250), everywhere.clone()),
        ("kubelet (read-only)", number("read-only-port", "readOnlyPort", read_only), everywhere),
        (
            "kubelet (healthz)",
            number("healthz-port", "healthzPort", 10_248),
            address("healthz-bind-address", "healthzBindAddress", "127.0.0.1"),
        ),
    ];
    let path = config.as_ref().map(|config| PathBuf::from(&config.path));
    let open = ports.into_iter().filter(|(_, port, _)| *port != 0);
    let found = open.map(|(name, port, address)| Configured {
        address: narrow(&address),
        unit: process.and_then(|process| process.unit.clone()),
        path: path.clone(),
        ..Configured::new(port..=port, Protocol::Tcp, ConfiguredBy::Kubelet, name)
    });
    (found.collect(), true)
}

fn of_proxy(process: &Process) -> Vec<Configured> {
    let port = |name, flag, old_flag, usual: (&str, u16)| {
        let (mut address, mut port) = (narrow(usual.0), usual.1);
        if let Some(given) = process.flags.value(flag).and_then(flags::end_point) {
            address = narrow(given.0);
            port = given.1.unwrap_or(port);
        }
        if let Some(given) = process.flags.value(old_flag).and_then(|text| text.parse().ok()) {
            port = given;
        }
        (port != 0).then(|| Configured {
            address,
            unit: process.unit.clone(),
            ..Configured::new(port..=port, Protocol::Tcp, ConfiguredBy::Kubelet, name)
        })
    };
    let metrics = port("kube-proxy (metrics)", "metrics-bind-address", "metrics-port", ("127.0.0.1", 10_249));
    let health = port("kube-proxy (healthz)", "healthz-bind-address", "healthz-port", ("0.0.0.0", 10_256));
    metrics.into_iter().chain(health).collect()
}

/// The range that an API server on this host gives out, whose word it is, and the file in which it stands.
fn of_server(
    root: &Root,
    process: Option<&Process>,
    notes: &mut Vec<String>,
) -> Option<(RangeInclusive<u16>, String, Option<PathBuf>)> {
    let (flags, name, file) = match process {
        Some(process) => (process.flags.clone(), format!("{}[{}]", process.comm, process.pid), None),
        None => MANIFESTS.into_iter().find_map(|path| {
            let flags = files::arguments(root, path, notes)?;
            Some((flags, format!("the manifest {path}"), Some(PathBuf::from(path))))
        })?,
    };
    let Some(text) = flags.value("service-node-port-range").filter(|text| !text.is_empty()) else {
        return Some((NODE_PORTS, format!("the default of {name}"), file));
    };
    match flags::node_port_range(text) {
        Some(ports) => Some((ports, format!("of {name}"), file)),
        None => {
            notes.push(format!(
                "{name}: --service-node-port-range={} is no range of ports; the default is told",
                text::truncate(&text::printable(text), 40)
            ));
            Some((NODE_PORTS, format!("the default; {name} has none that can be read"), file))
        }
    }
}

/// A service may have either protocol.
fn node_ports(ports: &RangeInclusive<u16>, whose: &str, file: Option<&Path>) -> Vec<Configured> {
    let of = |protocol| Configured {
        path: file.map(Path::to_owned),
        ..Configured::new(
            ports.clone(),
            protocol,
            ConfiguredBy::NodePorts,
            format!("NodePort range ({whose})"),
        )
    };
    vec![of(Protocol::Tcp), of(Protocol::Udp)]
}

/// Go takes the address of all of one family for all of both.
fn narrow(address: &str) -> Option<IpAddr> {
    address.parse().ok().filter(|address: &IpAddr| !address.is_unspecified())
}
