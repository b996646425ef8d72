//! The file for boot: what it keeps, what others do to it, and what is left of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Result, ensure};

use super::stage::{FILE, FOLDER, KEY, Stage, put, set};
use super::{expect, notes};

/// Comments and foreign lines stay, to the byte; an undo leaves what was there.
pub(super) fn persist(stage: &Stage) -> Result<String> {
    let before =
        b"# caf\xe9\nvm.swappiness = 1\n\n-net/ipv4/ip_local_reserved_ports=9010, 8080\n# end\n".to_vec();
    fs::write(FILE, &before)?;
    let said = stage.json("reserve --persist 50010", 0)?;
    let text = fs::read(FILE)?;
    let has = |line: &str| text.split(|&byte| byte == b'\n').any(|one| one == line.as_bytes());
    ensure!(has(&format!("{KEY} = 8080,9010,50010")), "{said}");
    ensure!(text.starts_with(b"# caf\xe9\nvm.swappiness = 1\n\n") && text.ends_with(b"\n# end\n"), "{said}");
    let said = stage.json("reserve --persist 50010", 0)?;
    ensure!(said["file"]["difference"] == serde_json::json!([]) && fs::read(FILE)? == text, "again: {said}");
    stage.json("reserve --persist 50020", 0)?;
    stage.json("unreserve --persist 50010-50020", 0)?;
    ensure!(fs::read(FILE)? == before, "not as before: {}", String::from_utf8_lossy(&fs::read(FILE)?));
    fs::remove_file(FILE)?;
    stage.json("reserve --persist 50010", 0)?;
    stage.json("unreserve --persist 50010", 0)?;
    ensure!(fs::read_dir(FOLDER)?.next().is_none(), "something is left in {FOLDER}");
    Ok("every byte of others is as it was".to_owned())
}

/// Earlier files are carried over, later ones are named.
pub(super) fn others(stage: &Stage) -> Result<String> {
    put("50-a.conf", "# x\nnet/ipv4/ip_local_reserved_ports = 8080\n")?;
    put("99-z.conf", &format!("{KEY}=9090\n"))?;
    let said = stage.json("reserve --persist 50010", 0)?;
    notes(&said, "carried", "/etc/sysctl.d/50-a.conf line 2")?;
    notes(&said, "overridden", "/etc/sysctl.d/99-z.conf line 1 overrides this: it sets the list to `9090`")?;
    ensure!(
        said["file"]["overridden_by"]["value"] == "9090" && said["file"]["carries"]["line"] == 2,
        "{said}"
    );
    let text = fs::read_to_string(FILE)?;
    ensure!(text.ends_with(&format!("{KEY} = 8080,50010\n")), "{text}");
    put("99-z.conf", "")?;
    put("50-a.conf", &format!("{KEY} = 50010\n"))?;
    let said = stage.json("unreserve 50010", 0)?;
    notes(&said, "back-at-boot", "portwatch unreserve --persist 50010")?;
    let said = stage.json("unreserve --persist 50010", 0)?;
    notes(&said, "back-at-boot", "/etc/sysctl.d/50-a.conf line 1")?;
    ensure!(!Path::new(FILE).exists(), "the file is left");
    Ok("named with file, line and list".to_owned())
}

/// After a boot nothing is remembered but the file: its ports are portwatch's.
pub(super) fn after_boot(stage: &Stage) -> Result<String> {
    put("50-a.conf", &format!("{KEY} = 8080\n"))?;
    stage.json("reserve --persist 50010", 0)?;
    fs::remove_dir_all("/run/portwatch-reserve")?;
    set("8080,50010")?;
    stage.json("unreserve --persist 50010", 0)?;
    expect("8080")?;
    // Others had reserved it before it was to be kept at boot: that is how it is left.
    stage.json("reserve --persist 8080", 0)?;
    let said = stage.json("unreserve --persist 8080", 0)?;
    notes(&said, "kept", "Somebody else")?;
    expect("8080")?;
    Ok("the file tells whose a port is".to_owned())
}

/// Nothing is written through a link.
pub(super) fn link(stage: &Stage) -> Result<String> {
    fs::write("/etc/elsewhere", "")?;
    symlink("/etc/elsewhere", FILE)?;
    let said = stage.run("reserve --persist 50010")?;
    ensure!(said.code == Some(1) && said.err.contains("a link to /etc/elsewhere"), "{}", said.err);
    ensure!(
        said.err.contains("nothing was changed") && fs::read("/etc/elsewhere")?.is_empty(),
        "{}",
        said.err
    );
    expect("")?;
    Ok("refused before anything was changed".to_owned())
}
