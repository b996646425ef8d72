//! Fills a history with made-up conflicts, to measure `portwatch history` and to make the fixture of a layout:
//! `cargo run --release --example fill_history -- FILE COUNT`.

use portwatch::model::{Cause, Conflict};
use portwatch::sink::Told;
use portwatch::store::{Retention, Writer};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const BATCH: usize = 512;
const SPAN_SECONDS: u64 = 30 * 86_400;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(count)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: fill_history FILE COUNT");
    };
    let count: u64 = count.parse()?;
    let retention = Retention { age: Duration::from_secs(36_500 * 86_400), bytes: u64::MAX };
    let (mut writer, notices) = Writer::open(Path::new(&path), retention)?;
    for notice in notices {
        eprintln!("{notice}");
    }
    let base: Conflict = serde_json::from_str(include_str!("../tests/fixtures/store/conflict.json"))?;
    let mut batch = Vec::with_capacity(BATCH);
    for number in 0..count {
        batch.push(Told { conflict: Arc::new(made_up(&base, number, count)), is_new: true });
        if batch.len() == BATCH || number + 1 == count {
            writer.write(&batch)?;
            batch.clear();
        }
    }
    writer.maintain()?;
    Ok(())
}

/// The last of 30 days before the base's time come last. A few programs have most conflicts, a few ports too.
fn made_up(base: &Conflict, number: u64, count: u64) -> Conflict {
    let dice = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let roll = |shift: u32, sides: u64| (dice >> shift) % sides;
    let mut conflict = base.clone();
    conflict.id = format!("{:x}-{}", (number + 1) * 2_592_000_000, roll(3, 30_000) + 300);
    let before = Duration::from_secs(SPAN_SECONDS * (count - 1 - number) / count.max(1));
    conflict.time = base.time - before;
    conflict.first_time = conflict.time - Duration::from_secs(roll(7, 300));
    conflict.count = 1 + roll(11, 40);
    conflict.port = if roll(5, 10) < 7 {
        8_000 + u16::try_from(roll(17, 200)).unwrap_or_default()
    } else {
        32_768 + u16::try_from(roll(23, 28_000)).unwrap_or_default()
    };
    let victim = roll(29, 300).min(roll(31, 300));
    conflict.victim.pid = u32::try_from(300 + roll(13, 30_000)).unwrap_or(1);
    conflict.victim.comm = format!("server-{victim}");
    conflict.victim.exe = Some(format!("/usr/sbin/server-{victim}"));
    conflict.victim.unit = Some(format!("server-{victim}.service"));
    let culprit = roll(37, 500).min(roll(41, 500));
    for holder in &mut conflict.holders {
        let Some(process) = &mut holder.process else { continue };
        process.pid = u32::try_from(300 + roll(19, 30_000)).unwrap_or(1);
        process.comm = format!("client-{culprit}");
        process.exe = Some(format!("/usr/bin/client-{culprit}"));
        process.unit = Some(format!("client-{culprit}.service"));
    }
    let causes = [Cause::EphemeralClient, Cause::EphemeralClient, Cause::Listener, Cause::TimeWait];
    conflict.cause = causes[usize::try_from(roll(43, 4)).unwrap_or_default()];
    conflict
}
