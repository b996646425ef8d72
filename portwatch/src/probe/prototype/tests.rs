//! Every hook has a prototype, the comparison tells apart what matters, and the renderer reads real encodings.

use super::super::backend::SNAPSHOT;
use super::*;

fn parsed(text: &str) -> Prototype {
    Prototype::parse(text).unwrap_or_else(|| panic!("no prototype: {text}"))
}

#[test]
fn every_line_is_read_and_written_back() {
    for text in FUNCTIONS.iter().chain(TRACEPOINTS) {
        assert_eq!(parsed(text).to_string(), *text);
    }
}

#[test]
fn every_hooked_function_has_a_line_and_every_line_a_hook() {
    let mut functions = vec![ITERATOR];
    let mut tracepoints = Vec::new();
    for hook in Backend::ALL.iter().flat_map(|backend| backend.hooks()) {
        match hook.target {
            Target::Fentry(names) | Target::Kprobe(names) => functions.extend(names),
            Target::Fexit(name, _) | Target::Kretprobe(name) => functions.push(name),
            Target::BtfTracepoint(name) => tracepoints.push(name),
        }
    }
    assert_eq!(format!("bpf_iter_{}", SNAPSHOT.1), ITERATOR);
    for (hooked, list) in [(functions, FUNCTIONS), (tracepoints, TRACEPOINTS)] {
        let listed: Vec<String> = list.iter().map(|text| parsed(text).name).collect();
        for name in &hooked {
            assert!(listed.iter().any(|one| one == name), "{name} is hooked and has no prototype");
        }
        for name in &listed {
            assert!(hooked.contains(&name.as_str()), "{name} has a prototype and no hook");
        }
    }
}

#[test]
fn fexit_hooks_count_the_parameters_that_the_prototype_has() {
    for hook in Backend::ALL.iter().flat_map(|backend| backend.hooks()) {
        if let Target::Fexit(name, count) = hook.target {
            for form in Subject::Function(name).expected() {
                assert_eq!(form.parameters.len(), count as usize, "{form}");
            }
        }
    }
}

#[test]
fn a_moved_parameter_differs_and_a_qualifier_does_not() {
    let relied_on = parsed("int f(const struct sock *sk, struct sock *sk2, bool wild)");
    assert!(
        relied_on.has_types_of(&parsed("int f(struct sock *sk, const struct sock *const sk2, bool wild)"))
    );
    for other in [
        "int f(bool wild, const struct sock *sk, struct sock *sk2)",
        "int f(const struct sock *sk, struct sock *sk2)",
        "bool f(const struct sock *sk, struct sock *sk2, bool wild)",
        "int f(const struct sock **sk, struct sock *sk2, bool wild)",
        "int f(const struct sock_common *sk, struct sock *sk2, bool wild)",
    ] {
        assert!(!relied_on.has_types_of(&parsed(other)), "{other}");
    }
}

#[test]
fn two_parameters_that_changed_places_have_other_names() {
    let relied_on = parsed("bool f(struct sock *sk, struct sock *sk2)");
    let swapped = parsed("bool f(struct sock *sk2, struct sock *sk)");
    assert!(relied_on.has_types_of(&swapped) && !relied_on.has_names_of(&swapped));
}

/// BTF of `int get_port(const struct sock *sk, unsigned short snum)` and of a tracepoint of the same arguments.
fn btf() -> Btf {
    let strings = b"\0int\0short unsigned int\0sock\0sk\0snum\0get_port\0btf_trace_port\0";
    let at = |name: &str| {
        let name = [name.as_bytes(), b"\0"].concat();
        strings.windows(name.len()).position(|window| window == name).expect("a string") as u32
    };
    let info = |kind: u32, count: u32| kind << 24 | count;
    let types = [
        vec![at("int"), info(1, 0), 4, 0],
        vec![at("short unsigned int"), info(1, 0), 2, 0],
        vec![at("sock"), info(7, 0), 0],
        vec![0, info(10, 0), 3],
        vec![0, info(2, 0), 4],
        vec![0, info(13, 2), 1, at("sk"), 5, at("snum"), 2],
        vec![at("get_port"), info(12, 1), 6],
        vec![0, info(2, 0), 0],
        vec![0, info(13, 3), 0, 0, 8, 0, 5, 0, 2],
        vec![0, info(2, 0), 9],
        vec![at("btf_trace_port"), info(8, 0), 10],
    ]
    .concat();
    let (length, end) = (types.len() as u32 * 4, strings.len() as u32);
    let header = [0x0001_eb9f, 24, 0, length, length, end];
    let words = header.iter().chain(&types).flat_map(|word| word.to_ne_bytes());
    Btf::parse(words.chain(strings.iter().copied()).collect()).expect("well-formed")
}

#[test]
fn the_kernels_own_words_are_rendered() {
    let function = btf().prototype("get_port").map(|found| found.to_string());
    assert_eq!(function.as_deref(), Some("int get_port(const struct sock *sk, unsigned short snum)"));
    let tracepoint = btf().tracepoint("port").map(|found| found.to_string());
    assert_eq!(tracepoint.as_deref(), Some("void port(const struct sock *, unsigned short)"));
    assert_eq!(btf().prototype("sock"), None);
    assert_eq!(btf().tracepoint("get_port"), None);
}

#[test]
fn what_a_kernel_does_not_have_is_missing() {
    let compared = compare(&btf(), Subject::Function("inet_csk_get_port"));
    assert_eq!((compared.agreement, compared.found), (Agreement::Missing, None));
}
