//! How long a restart leaves a unit's port free, by what systemd knows: the delay before it restarts a service by itself,
//! and how long the last start took. `systemctl show` is asked once for all units; a host without systemd has no answer.

use std::collections::HashMap;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// A manager that does not answer in this time is left alone.
const PATIENCE: Duration = Duration::from_secs(2);
/// Units that are asked about; their names must fit one command line.
const UNITS: usize = 2_000;
/// Longer answers are no answers.
const MOST: u64 = 8 << 20;
/// What is asked.
const PROPERTIES: &str = "Id,Names,Type,Restart,RestartUSec,NRestarts,InactiveExitTimestampMonotonic,\
     ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic";

/// What is known of a unit's restart; what is not known is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Downtime {
    /// `RestartSec=`, where systemd restarts the service by itself after a failure. `systemctl restart` does not wait.
    pub restart_delay: Option<Duration>,
    /// From the start of the last start to its end, `ExecStartPre=` included: measured, and only of services that tell
    /// when they are ready (`Type=notify`, `forking` and `dbus`). Many listen somewhat before that, none after it.
    pub start_up: Option<Duration>,
}

/// By unit; those of which nothing is known are missing.
pub fn downtimes(units: &[String]) -> HashMap<String, Downtime> {
    let mut asked: Vec<&str> = units.iter().map(String::as_str).filter(|unit| is_service(unit)).collect();
    asked.sort_unstable();
    asked.dedup();
    asked.truncate(UNITS);
    if asked.is_empty() {
        return HashMap::new();
    }
    let answer = ask(&["systemctl"], &asked, PATIENCE).unwrap_or_default();
    let known = parse(&answer);
    let of = |unit: &str| Some((unit.to_owned(), *known.get(unit)?));
    asked.into_iter().filter_map(of).collect()
}

/// One bad name would cost the answers of all the others.
fn is_service(unit: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let is_template = unit.ends_with("@.service");
    unit.len() <= 255
        && unit.strip_suffix(".service").is_some_and(|stem| !stem.is_empty())
        && unit.bytes().all(is_fit)
        && !is_template
}

/// What the program (a name, and arguments that come first) says in that time; `None` if it cannot be run or takes longer.
fn ask(program: &[&str], units: &[&str], patience: Duration) -> Option<String> {
    let mut command = Command::new(program.first()?);
    command.args(&program[1..]);
    command.args(["show", "--no-pager", "--property", PROPERTIES, "--"]).args(units).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let output = child.stdout.take()?;
    let (tell, told) = channel();
    // A child of the child may keep the pipe open, so nobody waits for this thread.
    let reader = thread::Builder::new().name("portwatch-ask".to_owned()).spawn(move || {
        let mut bytes = Vec::new();
        let is_whole = output.take(MOST).read_to_end(&mut bytes).is_ok_and(|read| (read as u64) < MOST);
        let _ = tell.send(is_whole.then_some(bytes));
    });
    let answer = reader.ok().and_then(|_| told.recv_timeout(patience).ok()).flatten();
    // Whoever closed the pipe without an end would be waited for.
    if answer.is_none() || child.try_wait().ok().flatten().is_none() {
        let _ = child.kill();
    }
    let _ = child.wait();
    answer.and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Blocks of properties with an empty line between them → what they say, by each of the unit's names. Pure.
fn parse(answer: &str) -> HashMap<String, Downtime> {
    let mut all = HashMap::new();
    for block in answer.split("\n\n") {
        let values: HashMap<&str, &str> = block.lines().filter_map(|line| line.split_once('=')).collect();
        let downtime = of(&values);
        if downtime == Downtime::default() {
            continue;
        }
        let names = values.get("Names").into_iter().flat_map(|names| names.split_ascii_whitespace());
        for name in names.chain(values.get("Id").copied()) {
            all.insert(name.to_owned(), downtime);
        }
    }
    all
}

fn of(values: &HashMap<&str, &str>) -> Downtime {
    let value = |key: &str| values.get(key).copied().unwrap_or_default();
    let restarts = !matches!(value("Restart"), "" | "no");
    let delay = span(value("RestartUSec")).filter(|_| restarts);
    let tells = matches!(value("Type"), "notify" | "notify-reload" | "forking" | "dbus");
    let moment = |key: &str| value(key).parse().ok().filter(|&at: &u64| at != 0).map(Duration::from_micros);
    let ready = moment("ActiveEnterTimestampMonotonic");
    let since = |begun: Option<Duration>| begun.zip(ready).and_then(|(from, to)| to.checked_sub(from));
    let took = since(moment("InactiveExitTimestampMonotonic"));
    // After a restart that systemd made by itself, it depends on its version whether the wait before it counts: 252 leaves
    // it out. What is shorter than the wait cannot have it in it; else the process's own beginning must do, which of a
    // forking service is known only at the end.
    let is_by_itself = value("NRestarts").parse().is_ok_and(|restarts: u64| restarts > 0);
    let waited = span(value("RestartUSec")).unwrap_or_default();
    let start_up = match took {
        Some(took) if is_by_itself && took >= waited => {
            since(moment("ExecMainStartTimestampMonotonic")).filter(|_| value("Type") != "forking")
        }
        took => took,
    };
    Downtime { restart_delay: delay, start_up: start_up.filter(|_| tells) }
}

/// A time as systemd writes it: `1min 30s`, `100ms`, `2.5s`; `None` for `infinity`.
fn span(text: &str) -> Option<Duration> {
    let mut whole = Duration::ZERO;
    if text == "0" {
        return Some(whole);
    }
    for part in text.split_ascii_whitespace() {
        let unit = part.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = part.split_at(unit);
        let seconds = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            "month" => 2_629_800.0,
            "y" => 31_557_600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        whole = whole.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
    }
    (!text.trim().is_empty()).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::scratch::Scratch;
    use proptest::prelude::*;
    use std::time::Instant;

    const ANSWER: &str = "Type=notify\nRestart=on-failure\nNRestarts=2\nRestartUSec=5s\nId=db.service\n\
        Names=db.service database.service\nActiveEnterTimestampMonotonic=17250000\n\
        InactiveExitTimestampMonotonic=12000000\nExecMainStartTimestampMonotonic=17000000\n\nType=simple\nRestart=no\nRestartUSec=100ms\nNRestarts=0\n\
        Id=a.service\nNames=a.service\nActiveEnterTimestampMonotonic=2\nInactiveExitTimestampMonotonic=1\n\n\
        Type=simple\nRestart=always\nRestartUSec=1min 30s\nNRestarts=0\nId=b.service\nNames=b.service\n\n\
        Type=forking\nRestart=no\nRestartUSec=100ms\nNRestarts=0\nId=c.service\nNames=c.service\n\
        ActiveEnterTimestampMonotonic=1500000\nInactiveExitTimestampMonotonic=1000000\n\n\
        Type=notify\nRestart=no\nNRestarts=0\nId=starting.service\nNames=starting.service\n\
        ActiveEnterTimestampMonotonic=1500000\nInactiveExitTimestampMonotonic=2000000\n";

    #[test]
    fn the_answer_is_read_by_unit_and_alias() {
        let known = parse(ANSWER);
        let db = Downtime {
            restart_delay: Some(Duration::from_secs(5)),
            start_up: Some(Duration::from_millis(250)),
        };
        assert_eq!((known.get("db.service"), known.get("database.service")), (Some(&db), Some(&db)));
        assert_eq!(known.get("a.service"), None, "started as soon as it is started, and never again");
        assert_eq!(known["b.service"].restart_delay, Some(Duration::from_secs(90)));
        let start_up = Some(Duration::from_millis(500));
        assert_eq!(known["c.service"], Downtime { restart_delay: None, start_up });
        assert_eq!(known.get("starting.service"), None, "it is not there yet");
    }

    #[test]
    fn the_wait_before_a_restart_is_no_part_of_the_start() {
        let start_up = |kind: &str, restarts, begun: u64| {
            let answer = format!(
                "Type={kind}\nRestart=always\nRestartUSec=3s\nNRestarts={restarts}\nId=x\n\
                 InactiveExitTimestampMonotonic={begun}\nExecMainStartTimestampMonotonic=9000000\n\
                 ActiveEnterTimestampMonotonic=10000000"
            );
            parse(&answer)["x"].start_up.map(|took| took.as_millis())
        };
        assert_eq!(start_up("notify", 0, 5_000_000), Some(5_000), "somebody started it");
        assert_eq!(start_up("notify", 1, 8_000_000), Some(2_000), "systemd 252 does not count the wait");
        assert_eq!(start_up("notify", 1, 5_000_000), Some(1_000), "it may be counted");
        assert_eq!(start_up("forking", 1, 5_000_000), None, "and there is nothing else to go by");
        assert_eq!(start_up("forking", 1, 8_000_000), Some(2_000));
    }

    #[test]
    fn times_are_read_as_systemd_writes_them() {
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!((span("100ms"), span("1min 30s"), span("0")), (ms(100), ms(90_000), ms(0)));
        assert_eq!(
            (span("1h 2min 3.5s"), span("1d"), span("250us")),
            (ms(3_723_500), ms(86_400_000), Some(Duration::from_micros(250)))
        );
        for wrong in
            ["", " ", "infinity", "5", "-1s", "s", "1x", "1e400s", "99999999999999999999y", "1s junk"]
        {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_fit_names_are_asked_about() {
        for fit in ["a.service", "my\\x2dapp@1:2.service"] {
            assert!(is_service(fit), "{fit}");
        }
        let long = format!("{}.service", "a".repeat(250));
        for unfit in
            ["", ".service", "a.socket", "a@.service", "a*.service", "a b.service", "--x", "é.service", &long]
        {
            assert!(!is_service(unfit), "{unfit}");
        }
        assert!(downtimes(&["-.slice".to_owned()]).is_empty());
    }

    /// What a shell script says.
    fn script(name: &str, text: &str, patience: u64) -> Option<String> {
        let scratch = Scratch::new(&format!("downtime-{name}"));
        scratch.write("script", text);
        let path = scratch.path().join("script").to_string_lossy().into_owned();
        ask(&["/bin/sh", &path], &["x.service"], Duration::from_millis(patience))
    }

    #[test]
    fn one_that_hangs_or_never_ends_is_no_answer() {
        let good = script("good", "shift 5; echo Id=$1; echo Restart=always; echo RestartUSec=1s", 30_000);
        let known = parse(&good.expect("an answer"));
        assert_eq!(known["x.service"].restart_delay, Some(Duration::from_secs(1)));
        let begun = Instant::now();
        assert_eq!(script("hangs", "exec sleep 1000", 200), None);
        // Its child keeps the pipe open after it has ended.
        assert_eq!(script("leaves", "sleep 5 & exit 0", 200), None);
        assert_eq!(script("endless", "exec cat /dev/zero", 30_000), None);
        assert!(script("stays", "echo Id=x; exec >&-; exec sleep 1000", 30_000).is_some());
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody was waited for");
        assert_eq!(ask(&["/nonexistent/systemctl"], &[], Duration::from_secs(1)), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,60}", more in "((Id|Names|Type|Restart|RestartUSec|NRestarts)=[a-z0-9. ]{0,12}\n{1,2}){0,20}") {
            let _ = (span(&text), parse(&text), parse(&more), is_service(&text));
        }
    }
}
