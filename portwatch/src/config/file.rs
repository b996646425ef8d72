//! The file: TOML with the keys of the table and no others. A wrong key is answered with its line and the key that was
//! probably meant.

use super::KEYS;
use crate::exit_code::Refused;
use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Values as text, with the place where each stands, by key.
pub(super) type Values = BTreeMap<&'static str, (String, String)>;

/// Letters by which a word may differ from the one that was meant.
const TYPOS: usize = 3;

pub(super) fn read_if_there(path: &Path) -> Result<Values, Refused> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Values::new()),
        Err(error) => Err(unreadable(path, &error)),
    }
}

pub(super) fn read(path: &Path) -> Result<Values, Refused> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    parse(&text, path)
}

fn unreadable(path: &Path, error: &io::Error) -> Refused {
    Refused::usage(format!("{}: cannot be read: {error}", path.display()))
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Values, Refused> {
    let place =
        |at: usize| format!("{}:{}", path.display(), 1 + text[..at.min(text.len())].matches('\n').count());
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Refused::usage(format!("{}: {}", place(at), error.message()))
    })?;
    let mut values = Values::new();
    for (name, value) in table.get_ref() {
        let place = place(name.span().start);
        let Some(key) = KEYS.iter().find(|key| key.name == name.get_ref().as_ref()) else {
            return Err(Refused::usage(format!("{place}: {}", unknown(name.get_ref()))));
        };
        let text = as_text(value)
            .ok_or_else(|| Refused::usage(format!("{place}: {} takes one value, {}", key.name, key.form)))?;
        values.insert(key.name, (text, format!("{place}: {}", key.name)));
    }
    Ok(values)
}

fn as_text(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(true) => Some("on".to_owned()),
        DeValue::Boolean(false) => Some("off".to_owned()),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn unknown(name: &str) -> String {
    let nearest = KEYS.iter().map(|key| (distance(name, key.name), key.name)).min();
    match nearest {
        Some((typos, meant)) if typos <= TYPOS => format!("there is no key {name:?}; did you mean {meant}?"),
        _ => {
            let all: Vec<_> = KEYS.iter().map(|key| key.name).collect();
            format!("there is no key {name:?}; there are {}", all.join(", "))
        }
    }
}

/// Letters to insert, delete or replace to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
