//! Kubernetes' files on a node: the kubelet's configuration, and manifests of pods that it runs by itself.

use super::flags::Flags;
use crate::owner::rooted::{Root, Unreadable};
use crate::text;
use serde_norway::Value;

/// Where an API server stands that the kubelet runs by itself: kubeadm's, then RKE2's.
pub(super) const MANIFESTS: [&str; 2] = [
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml",
];
/// A file of more is not read.
const MOST: usize = 1 << 20;
/// Files of a folder that are looked at.
const NAMES: usize = 1_024;

/// A configuration of the kubelet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) path: String,
    values: Value,
}

impl Config {
    /// Says why not, if there should be one.
    pub(super) fn read(root: &Root, path: &str, must_be: bool, notes: &mut Vec<String>) -> Option<Self> {
        let values = yaml(root, path, must_be, notes)?;
        Some(Self { path: path.to_owned(), values })
    }

    /// Those of a folder, in the order in which they count.
    pub(super) fn all_in(root: &Root, folder: &str, notes: &mut Vec<String>) -> Vec<Self> {
        let folder = folder.trim_end_matches('/');
        let mut names = root.names_up_to(folder, NAMES);
        names.retain(|name| name.ends_with(".conf"));
        names.sort();
        names.iter().filter_map(|name| Self::read(root, &format!("{folder}/{name}"), true, notes)).collect()
    }

    pub(super) fn number(&self, key: &str) -> Option<u16> {
        self.values.get(key)?.as_u64()?.try_into().ok()
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.values.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

/// Arguments of the containers in a pod's manifest.
pub(super) fn arguments(root: &Root, path: &str, notes: &mut Vec<String>) -> Option<Flags> {
    Some(of_pod(&yaml(root, path, false, notes)?))
}

/// Pure.
fn of_pod(pod: &Value) -> Flags {
    let containers = pod.get("spec").and_then(|spec| spec.get("containers")).and_then(Value::as_sequence);
    let lists = containers.into_iter().flatten().flat_map(|one| [one.get("command"), one.get("args")]);
    let texts = lists.flatten().filter_map(Value::as_sequence).flatten().filter_map(Value::as_str);
    Flags::of(&texts.map(str::to_owned).collect::<Vec<_>>())
}

fn yaml(root: &Root, path: &str, must_be: bool, notes: &mut Vec<String>) -> Option<Value> {
    let shown = text::printable(path);
    match root.load(path, MOST) {
        Ok(bytes) => match serde_norway::from_slice::<Value>(&bytes) {
            Ok(value) if value.is_mapping() => return Some(value),
            Ok(_) => notes.push(format!("{shown} has nothing of a configuration in it")),
            Err(why) => {
                let why = why.to_string();
                notes.push(format!("{shown} is not YAML: {}", text::truncate(&text::printable(&why), 120)));
            }
        },
        Err(Unreadable::Missing) if !must_be => {}
        Err(why) => notes.push(format!("{shown} could not be read: {why}")),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::scratch::Scratch;
    use proptest::prelude::*;

    #[test]
    fn a_manifest_gives_the_arguments_of_all_its_containers() {
        let text = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - command:\n    - kube-apiserver\n    \
            - --service-node-port-range=20000-22767\n    - 7\n  - args: [\"--x\", y]\n  - name: z\n  - 5\n";
        let flags = of_pod(&serde_norway::from_str(text).expect("YAML"));
        assert_eq!(flags.value("service-node-port-range"), Some("20000-22767"));
        assert_eq!(flags.value("x"), Some("y"));
        for none in ["{}", "spec: 1", "spec: {containers: {}}", "spec: {containers: [1, {command: x}]}"] {
            assert_eq!(of_pod(&serde_norway::from_str(none).expect("YAML")), Flags::default(), "{none}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_told_once_and_bombs_do_not_go_off() {
        let scratch = Scratch::new("kube-yaml");
        scratch.write("list", "- 1\n");
        scratch.write("broken", "a: [\u{1b}\n");
        scratch.write("huge", &"#".repeat(MOST + 1));
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for level in 1..40 {
            let below = format!("*a{}", level - 1);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 9].join(",")));
        }
        scratch.write("bomb", &bomb);
        scratch.write("deep", &"[".repeat(100_000));
        let root = Root::open(scratch.path()).expect("a folder");
        for (name, part) in [
            ("list", "nothing of a configuration"),
            ("broken", "not YAML"),
            ("huge", "larger than"),
            ("bomb", "not YAML"),
            ("deep", "not YAML"),
            ("none", "no such file"),
        ] {
            let mut notes = Vec::new();
            assert_eq!(yaml(&root, name, true, &mut notes), None, "{name}");
            assert!(notes.len() == 1 && notes[0].contains(part) && !notes[0].contains('\u{1b}'), "{notes:?}");
        }
        let mut notes = Vec::new();
        assert_eq!((yaml(&root, "none", false, &mut notes), notes.len()), (None, 0));
    }

    proptest! {
        #[test]
        fn any_yaml_is_read(text in "([a-c]{1,2}: ?|- |[\\[\\]{}&*,\"'|>#0-9]|\n|  ){0,60}") {
            if let Ok(values) = serde_norway::from_str::<Value>(&text) {
                let _ = of_pod(&values);
                let config = Config { path: String::new(), values };
                let _ = (config.number("a"), config.text("b"));
            }
        }
    }
}
