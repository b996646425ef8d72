//! The version of the ring records' layout, and the test that nobody changes one without the other.

/// Version of the layout of `Process`, `Holder` and `Refusal`, and of `Task` and `Socket` inside answers. Another one
/// cannot be read as this one.
pub const LAYOUT: u16 = 1;

#[cfg(test)]
mod tests {
    use super::LAYOUT;
    use portwatch_common::record::{Assignment, Holder, Process, Refusal, Socket, Task};
    use std::mem::offset_of;

    macro_rules! offsets {
        ($($record:ident { $($field:ident),* })*) => {
            [$((stringify!($record), size_of::<$record>(), vec![$((stringify!($field), offset_of!($record, $field))),*])),*]
        };
    }

    #[test]
    fn a_new_layout_has_a_new_number() {
        let layout = offsets! {
            Task { start_ns, cgroup, tgid, tid, uid, pad, comm }
            Assignment { task, assigned_ns, inode, netns, port, protocol, how }
            Socket { address, cookie, inode, cgroup, local, remote, netns, uid, device, flags, local_port, remote_port,
                     protocol, family, kind, state, pad }
            Process { tag, argv_len, task, argv }
            Holder { tag, found_by, has_assignment, pad, refusal, socket, assignment, released_ns }
            Refusal { tag, errno, id, when_ns, task, socket, holders, holders_lost, range_low, range_high, operation,
                      flags, pad }
        };
        let text = format!("{layout:?}");
        let sum = super::super::format::checksum(&[text.as_bytes()]);
        assert_eq!(
            (LAYOUT, sum),
            (1, PINNED),
            "the records changed: old recordings cannot be read as new ones. Raise LAYOUT, keep a reader for the \
             former one (docs/recording.md), and pin the new sum here"
        );
    }

    /// Of layout 1.
    const PINNED: u32 = 447_804_627;
}
