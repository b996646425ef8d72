//! Checks one after the other, each told in a line: `ok NAME words` or `FAIL NAME reason`.

use anyhow::Result;

/// Plays them; whether all were right.
pub(crate) fn tell<C>(
    checks: impl IntoIterator<Item = (&'static str, C)>,
    mut play: impl FnMut(C) -> Result<String>,
) -> bool {
    let mut are_right = true;
    for (name, check) in checks {
        match play(check) {
            Ok(words) => println!("ok {name} {words}"),
            Err(error) => {
                are_right = false;
                println!("FAIL {name} {error:#}");
            }
        }
    }
    are_right
}
