//! The rule against the kernel: what `lineup rule` is told and how its answer is judged.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use super::depth::Depth;
use super::parts::{Part, Place};
use super::play::Played;

/// Arrangements of sockets on each kernel. In the default run they are new ones each time: the same on the same kernel prove
/// nothing again.
const PAIRS: u64 = 20_000;
const PAIRS_BY_DEFAULT: u64 = 4_000;
/// With `--full` the same on every run, so that a red test stays red.
const SEED: u64 = 1;
/// The other outcome must not be an exception: one in so many at least.
const LEAST_CONFLICTS: u64 = 4;

pub(super) fn part(place: &Place<'_>) -> Part {
    let (pairs, seed) = match place.depth {
        Depth::Full => (PAIRS, SEED),
        Depth::Default => (PAIRS_BY_DEFAULT, new_seed()),
    };
    let command = place.lineup(&["rule", "--pairs", &pairs.to_string(), "--seed", &seed.to_string()]);
    Part { name: "rule", command, judge: Box::new(move |played| judge(played, pairs)) }
}

/// The prover prints it, with the command that repeats a disagreement.
fn new_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(SEED, |since| since.as_secs())
}

/// The last line of the prover counts; its exit code alone could come from a run that asked nothing.
fn judge(played: &Played, pairs: u64) -> Result<String> {
    let line = played.lines.iter().rev().find(|line| line.starts_with("RULE ")).context("no RULE line")?;
    let number = |name: &str| -> Result<u64> {
        let found = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.with_context(|| format!("no {name} in: {line}"))?.parse().with_context(|| line.clone())
    };
    ensure!(number("disagreements")? == 0, "kernel and rule disagree: {line}");
    ensure!(number("pairs")? == pairs, "not all were played: {line}");
    ensure!(
        number("conflicts")? * LEAST_CONFLICTS >= pairs,
        "hardly any conflicts, so hardly a proof: {line}"
    );
    ensure!(played.code == 0, "the prover failed with exit code {}", played.code);
    Ok(line.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(line: &str, code: i32) -> Result<String> {
        judge(&Played { lines: vec!["something".to_owned(), line.to_owned()], code }, 20_000)
    }

    #[test]
    fn only_a_whole_run_without_disagreement_is_good() {
        let good = "RULE kernel=6.12/x86_64 pairs=20000 conflicts=10000 disagreements=0 seed=1";
        assert!(judged(good, 0).is_ok());
        assert!(judged(good, 1).is_err());
        assert!(judged(&good.replace("disagreements=0", "disagreements=1"), 0).is_err());
        assert!(judged(&good.replace("pairs=20000", "pairs=1"), 0).is_err());
        assert!(judged(&good.replace("conflicts=10000", "conflicts=12"), 0).is_err());
        assert!(judged("RULE of nothing", 0).is_err());
        assert!(judged("", 0).is_err());
    }
}
