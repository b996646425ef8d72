//! Recordings of every kernel of the tests, made by `cargo xtask record`: the finished program says of each what it said
//! live, byte for byte, and needs no privilege for it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Kernels and backends that there must be a recording of.
const NAMES: [&str; 8] = [
    "5.10-x86_64-fexit",
    "6.1-x86_64-fexit",
    "6.1-aarch64-kprobe",
    "6.12-x86_64-fexit",
    "6.12-x86_64-kprobe",
    "6.12-x86_64-tracepoint",
    "6.12-aarch64-fexit",
    "7.x-x86_64-kprobe",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay")
}

fn recording(name: &str) -> PathBuf {
    folder().join(format!("{name}.rec"))
}

fn replay(arguments: &[&str], stdin: Option<&[u8]>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portwatch"))
        .arg("replay")
        .args(arguments)
        .env("TZ", "UTC")
        .env("COLUMNS", "120")
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    if let Some(bytes) = stdin {
        let mut pipe = child.stdin.take().expect("a pipe");
        let bytes = bytes.to_vec();
        // On a thread, because the program answers before it has read everything; it may also have had enough.
        std::thread::spawn(move || pipe.write_all(&bytes));
    }
    child.wait_with_output().expect("the program ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn every_kernel_says_what_it_said_live() {
    for name in NAMES {
        let path = recording(name);
        let answer = replay(&["-o", "json", &path.to_string_lossy()], None);
        let words = text(&answer.stderr);
        assert_eq!(answer.status.code(), Some(0), "{name}: {words}");
        let live = text(&fs::read(path.with_extension("json")).expect("what was said live"));
        let said = text(&answer.stdout);
        for (now, then) in said.lines().zip(live.lines()) {
            assert_eq!(now, then, "{name}");
        }
        assert_eq!(said.len(), live.len(), "{name}");
        assert!(!words.contains("no answer"), "{name}: {words}");
        assert!(words.contains("; nothing lost"), "{name}: {words}");
        let backend = name.rsplit('-').next().expect("a backend");
        assert!(words.contains(&format!("with the backend {backend}")), "{name}: {words}");
    }
}

#[test]
fn the_fixtures_are_these_and_small() {
    let mut found: Vec<_> = fs::read_dir(folder())
        .expect("the folder")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rec"))
        .map(|entry| (entry.path().file_stem().expect("a name").to_string_lossy().into_owned(), entry))
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    let mut names = NAMES;
    names.sort_unstable();
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
    for (name, entry) in found {
        let size = entry.metadata().expect("its size").len();
        assert!((10_000..150_000).contains(&size), "{name}: {size} bytes");
    }
}

#[test]
fn causes_of_every_kind_are_in_every_recording() {
    for name in NAMES {
        let words = text(&replay(&[&recording(name).to_string_lossy()], None).stderr);
        for cause in [
            "ephemeral-client",
            "listener",
            "own-socket",
            "exhausted",
            "previous-instance",
            "time-wait",
            "inherited",
            "kernel-socket",
        ] {
            assert!(words.contains(&format!(" {cause}")), "{name} has no {cause}: {words}");
        }
    }
}

#[test]
fn each_form_is_the_same_every_time_and_from_a_pipe() {
    let path = recording(NAMES[0]);
    let bytes = fs::read(&path).expect("the recording");
    for form in ["table", "wide", "json"] {
        let from_file = replay(&["-o", form, &path.to_string_lossy()], None);
        let from_pipe = replay(&["-o", form, "-"], Some(&bytes));
        assert!(from_file.status.success() && !from_file.stdout.is_empty(), "{form}");
        assert_eq!(text(&from_file.stdout), text(&from_pipe.stdout), "{form}");
        assert_eq!(text(&from_file.stderr), text(&from_pipe.stderr), "{form}");
    }
}

#[test]
fn filters_choose_from_a_recording() {
    let path = recording(NAMES[0]);
    let path = path.to_string_lossy();
    let lines = |arguments: &[&str]| {
        let answer = replay(&[&["-o", "json", &path], arguments].concat(), None);
        (text(&answer.stdout).lines().map(str::to_owned).collect::<Vec<_>>(), answer.status.code())
    };
    let (all, code) = lines(&[]);
    assert_eq!(code, Some(0));
    let (listeners, _) = lines(&["--cause", "listener"]);
    assert!(!listeners.is_empty() && listeners.len() < all.len());
    assert!(listeners.iter().all(|line| line.contains(r#""cause":"listener""#) && all.contains(line)));
    assert_eq!(lines(&["--count", "1"]).0.first(), all.first());
    assert_eq!(lines(&["--check"]).1, Some(3));
    assert_eq!(lines(&["--check", "--netns", "1"]), (Vec::new(), Some(0)));
    assert_eq!(lines(&["--netns", "self"]).0, Vec::<String>::new(), "every scenario has its own namespace");
}

#[test]
fn a_cut_or_damaged_recording_is_shown_up_to_there() {
    let path = recording(NAMES[0]);
    let bytes = fs::read(&path).expect("the recording");
    let whole = text(&replay(&["-o", "json", "-"], Some(&bytes)).stdout);
    let middle = bytes.len() / 2;
    let cut = replay(&["-o", "json", "-"], Some(&bytes[..middle]));
    let words = text(&cut.stderr);
    assert_eq!(cut.status.code(), Some(1));
    assert!(words.contains(&format!("standard input is cut off at byte {middle}: ")), "{words}");
    assert!(words.contains("what stands before was replayed"), "{words}");
    // The last of the shown may be counts that the whole brings up to date later.
    let shown = text(&cut.stdout);
    let first = shown.lines().next().expect("something before the cut");
    assert!(whole.starts_with(first), "{first}");

    let mut damaged = bytes;
    damaged[middle] ^= 0x10;
    let answer = replay(&["-o", "json", "--check", "-"], Some(&damaged));
    let words = text(&answer.stderr);
    assert_eq!(answer.status.code(), Some(1), "damage goes before --check");
    assert!(
        words.contains("standard input is damaged at byte ") || words.contains("cut off at byte"),
        "{words}"
    );
    assert!(whole.starts_with(text(&answer.stdout).lines().next().expect("something before the damage")));
}

#[test]
fn what_is_no_recording_is_said_in_one_line() {
    for (arguments, stdin, code, part) in [
        (["-"], Some(&b"{\"schema\":1}\n"[..]), 1, "standard input is no recording"),
        (["-"], Some(&b""[..]), 1, "cut off at byte 0"),
        (["-"], Some(&b"PWREC\n\x63\x00"[..]), 4, "of format 99, and this portwatch reads format 1"),
        (["/nonexistent/file"], None, 1, "/nonexistent/file: cannot be opened: No such file"),
        (["/proc"], None, 1, "/proc is not readable from byte 0 on: Is a directory"),
        (["--record"], None, 2, "--record"),
    ] {
        let answer = replay(&arguments, stdin);
        let words = text(&answer.stderr);
        assert_eq!(answer.status.code(), Some(code), "{words}");
        assert!(words.contains(part) && words.lines().count() == 1 && answer.stdout.is_empty(), "{words}");
    }
}
