//! The file: new, private, and possibly full; and what another version of portwatch left in it.

use super::world::{Fickle, events, header, recorded};
use super::{frames, steps};
use crate::correlate::Correlator;
use crate::exit_code::{ExitCode, of_error};
use crate::recording::format::{OPENING, kind, push_frame};
use crate::recording::{ReadError, Recorder};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, symlink};

/// Takes so many bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_recording_and_nothing_else() {
    let header = header();
    let room = serde_json::to_vec(&header).expect("JSON").len() + 1_000;
    let mut recorder = Recorder::to(Full(room), "test".into(), &header).expect("room for the header");
    let mut correlator = Correlator::new(header.settings);
    let mut lookups = Fickle::default();
    let reports: Vec<_> =
        events().filter_map(|event| recorder.accept(event, &mut correlator, &mut lookups)).collect();
    recorder.finish(&[]);
    assert!(reports.len() >= 4, "{} reports", reports.len());
    let all = events().count() as u64;
    assert!((all - 4..=all).contains(&recorder.lost()), "{} of {all} lost", recorder.lost());
    assert!(Recorder::to(Full(3), "test".into(), &self::header()).is_err(), "no room for the header");
}

#[test]
fn a_file_is_new_and_its_owners_alone() {
    let folder = std::env::temp_dir().join(format!("portwatch-recording-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a folder of our own");
    let (path, link) = (folder.join("a.rec"), folder.join("link"));
    Recorder::create(&path, &header()).expect("a new file").finish(&[]);
    assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    let before = std::fs::read(&path).expect("readable");
    symlink(folder.join("elsewhere"), &link).expect("a link");
    for taken in [&path, &link] {
        let error = Recorder::create(taken, &header()).expect_err("taken");
        assert_eq!(of_error(&error), ExitCode::Usage);
        assert!(error.to_string().contains("already"), "{error}");
    }
    assert!(!folder.join("elsewhere").exists());
    assert_eq!(std::fs::read(&path).expect("readable"), before);
    let error = Recorder::create(&folder.join("no/such"), &header()).expect_err("no such folder");
    assert_eq!(of_error(&error), ExitCode::Failed);
    std::fs::remove_dir_all(&folder).expect("ours");
}

#[test]
fn what_this_version_cannot_read_is_said() {
    let (recording, _) = recorded();
    let mut later = recording.clone();
    later[OPENING - 2] = 9;
    assert!(matches!(steps(&later).1, Some(ReadError::Format(9))));
    let json = serde_json::json!({ "layout": 7, "portwatch": "9.9.9", "whatever": [] });
    let mut other = recording[..OPENING].to_vec();
    assert!(push_frame(&mut other, kind::HEADER, json.to_string().as_bytes()));
    let error = steps(&other).1.expect("another layout").to_string();
    assert!(error.contains("9.9.9") && error.contains("layout 7"), "{error}");
    assert!(matches!(steps(b"hello world, this is text").1, Some(ReadError::NotARecording)));
    assert!(matches!(steps(b"").1, Some(ReadError::CutOff(0))));
    assert!(matches!(steps(b"PWREC\n\x01").1, Some(ReadError::CutOff(7))));
}

#[test]
fn frames_of_later_versions_are_passed_over_if_they_say_so() {
    let (recording, _) = recorded();
    let end_of_header = frames(&recording)[0].1;
    let with = |kind| {
        let mut frame = Vec::new();
        assert!(push_frame(&mut frame, kind, b"new"));
        [&recording[..end_of_header], &frame, &recording[end_of_header..]].concat()
    };
    assert_eq!(steps(&with(0x80)).0, steps(&recording).0);
    let error = steps(&with(0x7f)).1.expect("an unknown kind").to_string();
    assert_eq!(error, format!("damaged at byte {end_of_header}: a frame of the unknown kind 0x7f"));
    let error = steps(&[&recording[..], b"x"].concat()).1.expect("something after the end").to_string();
    assert_eq!(error, format!("damaged at byte {}: something follows the end", recording.len()));
}
