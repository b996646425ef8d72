//! Lane 4: portwatch among the real programs that it works with, each in a machine that is made for it.

use anyhow::Result;

use super::parts::all_ok;
use super::play::Play;
use crate::systemd;

/// A Debian boots with its own systemd; units fail for want of a port, and their journals must say why.
pub(super) fn with_systemd() -> Result<()> {
    let mut play = Play::begin("systemd", "units")?;
    let code = systemd::run(&mut |line| play.hear(line.to_owned()))?;
    println!("  {}", all_ok("systemd and journald", &play.end(code))?);
    Ok(())
}
