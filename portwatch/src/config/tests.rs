//! The table of keys against itself, and each way of setting a value.

use super::*;
use std::time::Duration;

const NOTHING: Given<'static> = &|_| None;

fn refused(text: &str) -> String {
    let values = match file::parse(text, Path::new("p.toml")) {
        Ok(values) => values,
        Err(refused) => return refused.message,
    };
    Config::merge(&values, NOTHING, NOTHING).expect_err("a wrong file").message
}

fn from_file(text: &str) -> Config {
    let values = file::parse(text, Path::new("p.toml")).expect("a right file");
    Config::merge(&values, NOTHING, NOTHING).expect("right values")
}

#[test]
fn every_default_is_a_value_that_can_be_written() {
    for key in KEYS {
        let mut config = Config::default();
        let text = key.default_value();
        (key.set)(&mut config, &text).unwrap_or_else(|error| panic!("{} = {text:?}: {error}", key.name));
        assert_eq!(config, Config::default(), "{}", key.name);
    }
}

#[test]
fn a_file_sets_what_it_says() {
    let config = from_file(
        "listen = '[::1]:9000'\ntable_size = 1_024\nstore = false\nstore_age = \"12h\"\nstore_size='1GiB'\n\
         journal = true\nbackend = 'kprobe'\nsocket_group = 'ops'\n",
    );
    assert_eq!(config.listen, Some("[::1]:9000".parse().expect("an address")));
    assert_eq!((config.table_size, config.store, config.store_size), (1_024, None, 1 << 30));
    assert_eq!(config.store_age, Duration::from_secs(12 * 3_600));
    assert_eq!((config.journal, config.backend), (Journal::On, Some(Backend::Kprobe)));
    assert_eq!(config.socket_group, "ops");
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let file = file::parse("listen = '127.0.0.1:1'\nstore_age='1d'\nstore_size='2MiB'", Path::new("p.toml"));
    let environment = |name: &'static str| match name {
        "listen" => Some("127.0.0.1:2".to_owned()),
        "store_age" => Some("2d".to_owned()),
        _ => None,
    };
    let flags = |name: &'static str| (name == "listen").then(|| "127.0.0.1:3".to_owned());
    let config = Config::merge(&file.expect("a right file"), &environment, &flags).expect("right values");
    assert_eq!(config.listen, Some("127.0.0.1:3".parse().expect("an address")));
    assert_eq!(config.store_age, Duration::from_secs(2 * 86_400));
    assert_eq!(config.store_size, 2 << 20);
}

#[test]
fn a_wrong_key_is_answered_with_its_line_and_what_was_meant() {
    assert_eq!(
        refused("\nlisten='off'\nstore-age = '1d'\n"),
        "p.toml:3: there is no key \"store-age\"; did you mean store_age?"
    );
    assert_eq!(refused("lisen = 1"), "p.toml:1: there is no key \"lisen\"; did you mean listen?");
    assert!(
        refused("colour = 1")
            .starts_with("p.toml:1: there is no key \"colour\"; there are backend, table_size")
    );
    assert!(refused("[agent]\nlisten='off'").starts_with("p.toml:1: there is no key \"agent\""));
}

#[test]
fn a_wrong_value_is_answered_with_its_place_and_what_would_be_right() {
    let wanted = "p.toml:2: store_age: \"soon\" will not do: an age is written like 12h, 30d or 8w, and is an hour at least";
    assert_eq!(refused("listen = 'off'\nstore_age = 'soon'"), wanted);
    assert_eq!(refused("store_size = []"), "p.toml:1: store_size takes one value, SIZE");
    assert!(refused("listen = ").starts_with("p.toml:1: "));
    assert!(refused("store = 'history.db'").contains("a path from the root"));
    let environment = |name: &'static str| (name == "journal").then(|| "maybe".to_owned());
    let error = Config::merge(&file::Values::new(), &environment, NOTHING).expect_err("a wrong value");
    assert_eq!(error.message, "PORTWATCH_JOURNAL: \"maybe\" will not do: it is auto, on or off");
}

#[test]
fn ages_and_sizes() {
    for (text, seconds) in
        [("1h", 3_600), ("90m", 5_400), ("1d 12h", 129_600), ("2w", 1_209_600), ("1y", 31_536_000)]
    {
        assert_eq!(values::age(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    for wrong in ["", "d", "1", "1s", "59m", "-1d", "99999999999999999999d", "1d;", "1dd", "2000y"] {
        assert!(values::age(wrong).is_err(), "{wrong}");
    }
    for (text, bytes) in [("1MiB", 1 << 20), ("2 GiB", 2 << 30), ("5MB", 5_000_000), ("1048576", 1 << 20)] {
        assert_eq!(values::size(text), Ok(bytes), "{text}");
    }
    for wrong in ["", "MiB", "-1MiB", "1", "1KiB", "1TB", "1.5MiB", "99999999999GiB"] {
        assert!(values::size(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_needs_a_restart_is_said() {
    let changed = from_file("store_age = '1d'\njournal = false\nlisten = 'off'\nbackend='fexit'");
    assert_eq!(Config::default().needing_restart(&changed), ["backend", "listen"]);
}

/// The file that is shipped has every key with its default, commented out, in the order of the table.
#[test]
fn the_shipped_file_says_what_is_so_anyway() {
    let shipped = include_str!("../../../contrib/portwatch.toml");
    let mut expected = String::from(
        "# The configuration of `portwatch agent`: /etc/portwatch/portwatch.toml. Every key with what it is anyway.\n\
         # Each is also a flag (--store-age) and a variable of the environment (PORTWATCH_STORE_AGE), which go before\n\
         # this file. SIGHUP has it read again; `restart` means that the agent must be started anew.\n",
    );
    for key in KEYS {
        let restart = if key.live { "" } else { " (restart)" };
        let value = key.default_value();
        let value = if value.parse::<u64>().is_ok() { value } else { format!("\"{value}\"") };
        expected.push_str(&format!(
            "\n# {}{restart}\n# Written as {}.\n# {} = {value}\n",
            key.help, key.form, key.name
        ));
    }
    assert_eq!(shipped, expected);
    let live: String =
        shipped.lines().filter(|line| line.contains(" = ")).map(|line| format!("{}\n", &line[2..])).collect();
    assert_eq!(from_file(&live), Config::default());
}
