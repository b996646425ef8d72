//! A recording is somebody's file: whatever it holds, no panic, no escape sequence, and what stands before a fault is
//! replayed.

use super::world::recorded;
use super::{frames, shown, steps};
use crate::recording::format::{HEAD, MAGIC, OPENING, TAIL, kind, push_frame};
use crate::recording::{MAX_FRAME, ReadError, VERSION};
use crate::sink::terminal::Form;
use proptest::prelude::*;

#[test]
fn a_huge_length_takes_no_memory() {
    let (recording, _) = recorded();
    let mut huge = recording[..OPENING].to_vec();
    huge.push(kind::HEADER);
    huge.extend_from_slice(&u32::MAX.to_le_bytes());
    let error = steps(&huge).1.expect("too long").to_string();
    assert!(error.starts_with("damaged at byte 8: a frame of 4294967295 bytes"), "{error}");
    let mut long = recording[..OPENING].to_vec();
    long.push(kind::HEADER);
    long.extend_from_slice(&u32::try_from(MAX_FRAME).expect("fits").to_le_bytes());
    assert!(matches!(steps(&long).1, Some(ReadError::CutOff(13))));
}

fn offset(error: &ReadError) -> Option<u64> {
    match error {
        ReadError::CutOff(offset) | ReadError::Damaged { offset, .. } | ReadError::Io { offset, .. } => {
            Some(*offset)
        }
        ReadError::NotARecording | ReadError::Format(_) | ReadError::Layout { .. } => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_bytes_are_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(steps(&bytes).1.is_some());
        let opening = [&MAGIC[..], &VERSION.to_le_bytes(), &bytes].concat();
        prop_assert!(steps(&opening).1.is_some());
    }

    #[test]
    fn what_stands_before_a_cut_is_replayed(part in 0.0..1.0_f64) {
        let (recording, _) = recorded();
        let cut = (recording.len() as f64 * part) as usize;
        let (whole, _) = steps(&recording);
        let (some, error) = steps(&recording[..cut]);
        let error = error.expect("cut off");
        prop_assert!(matches!(error, ReadError::CutOff(at) if at == cut as u64), "{error} instead of {cut}");
        prop_assert_eq!(&some[..], &whole[..some.len()]);
        // Every event whose frame is whole is there.
        let kinds = [kind::EVENT, kind::TICK, kind::END];
        let complete = frames(&recording).into_iter().filter(|(at, end)| *end <= cut && kinds.contains(&recording[*at]));
        prop_assert_eq!(some.len(), complete.count());
        let (text, replay, _) = shown(&recording[..cut], None);
        prop_assert_eq!(replay.is_some(), cut >= frames(&recording)[0].1);
        prop_assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    }

    #[test]
    fn what_stands_before_a_flipped_bit_is_replayed(part in 0.0..1.0_f64, bit in 0..8_u8) {
        let (mut recording, _) = recorded();
        let (whole, _) = steps(&recording);
        let at = OPENING + ((recording.len() - OPENING) as f64 * part) as usize;
        let (start, _) = frames(&recording).into_iter().rfind(|(start, _)| *start <= at).expect("in a frame");
        recording[at] ^= 1 << bit;
        let (some, error) = steps(&recording);
        let error = error.expect("damaged");
        prop_assert_eq!(&some[..], &whole[..some.len()]);
        prop_assert!(some.len() < whole.len());
        // A length may reach beyond the end now; then it looks cut off.
        let is_there = match error {
            ReadError::CutOff(_) => true,
            ref other => offset(other) == Some(start as u64),
        };
        prop_assert!(is_there, "{error} instead of at {start}");
        shown(&recording, None);
    }

    /// Whoever forges a recording can make its checksums fit.
    #[test]
    fn a_forged_recording_is_no_panic_and_no_escape_sequence(
        forged in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let (recording, _) = recorded();
        let mut contents: Vec<_> = frames(&recording)
            .into_iter()
            .map(|(at, end)| (recording[at], recording[at + HEAD..end - TAIL].to_vec()))
            .collect();
        for (frame, byte, value) in &forged {
            let (_, content) = &mut contents[frame.index(frames(&recording).len())];
            let at = byte.index(content.len());
            content[at] = *value;
        }
        let mut again = recording[..OPENING].to_vec();
        for (kind, content) in &contents {
            prop_assert!(push_frame(&mut again, *kind, content));
        }
        for form in [None, Some(Form::Table), Some(Form::Wide)] {
            let (text, _, _) = shown(&again, form);
            prop_assert!(!text.chars().any(|c| c != '\n' && c.is_control()), "{text:?}");
        }
    }
}
