//! The table of closed connections against a map that forgets like it.

use super::*;
use crate::LastOwner;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_record_of_a_connection_is_found_and_no_other(
        closes in prop::collection::vec((0..7_u32, 0..4_u32, any::<bool>(), 0..3_u64), 1..200),
    ) {
        let mut bucket = Bucket::default();
        let mut kept: HashMap<u32, Kept> = HashMap::new();
        let mut now = 0;
        for (connection, life, leaves_time_wait, minutes) in closes {
            now += 1 + minutes * 60_000_000_000;
            let state = if leaves_time_wait { TIME_WAIT } else { CLOSE };
            // Another life of a connection has another sequence number.
            let new = Kept { key: closed_key(connection * 2 + 1, life * 2), now, state };
            match close(&mut bucket, new) {
                ClosedSlot::Free(_) => drop(kept.insert(connection, new)),
                other => {
                    prop_assert_eq!((other, kept.len()), (ClosedSlot::Full, WAYS));
                    prop_assert!(kept.values().all(|kept| kept.needed_until_ns() > now), "one is needed no longer");
                    prop_assert!(!kept.contains_key(&connection), "a connection takes its own slot");
                }
            }
            // One that is needed no longer gave way.
            if kept.len() > WAYS {
                let others = kept.iter().filter(|(other, _)| **other != connection);
                let least = others.min_by_key(|(_, kept)| kept.needed_until_ns()).map(|(other, _)| *other);
                least.map(|least| kept.remove(&least));
            }
            for key in (0..7).flat_map(|connection| (0..4).map(move |life| closed_key(connection * 2 + 1, life * 2))) {
                let expected = kept.values().find(|kept| kept.key == key).map(|kept| kept.now);
                prop_assert_eq!(released(&mut bucket, key), expected, "{:x}", key);
            }
            let keys: Vec<u64> = bucket.keys.iter().copied().filter(|key| *key != 0).collect();
            let connections: HashSet<u64> = keys.iter().map(|key| closed_connection(*key)).collect();
            prop_assert_eq!(keys.len(), connections.len(), "a connection has two slots");
        }
    }
}

/// A record of the model.
#[derive(Clone, Copy, Debug)]
struct Kept {
    key: u64,
    now: u64,
    state: u8,
}

impl Kept {
    fn needed_until_ns(self) -> u64 {
        self.now + if self.state == TIME_WAIT { 120_000_000_000 } else { 0 }
    }
}

const TIME_WAIT: u8 = 6;
const CLOSE: u8 = 7;

fn close(bucket: &mut Bucket<LastOwner>, new: Kept) -> ClosedSlot {
    let closed = claim_closed::<Std>(reference(bucket), new.key, new.now);
    if let ClosedSlot::Free(slot) = closed {
        write(slot, new);
    }
    closed
}

fn write(slot: SlotRef<LastOwner>, new: Kept) {
    // SAFETY: the slot is claimed.
    unsafe { ((*slot.value()).released_ns, (*slot.value()).state) = (new.now, new.state) };
    slot.publish::<Std>(new.key);
}

fn released(bucket: &mut Bucket<LastOwner>, key: u64) -> Option<u64> {
    // SAFETY: a value of the bucket.
    find_slot::<Std, _>(reference(bucket), key).map(|slot| unsafe { (*slot.value()).released_ns })
}

/// A bucket that is full of TIME_WAIT records, closed at 1, 2 and so on.
fn full() -> (Bucket<LastOwner>, Vec<u64>) {
    let mut bucket = Bucket::<LastOwner>::default();
    let keys: Vec<u64> = (0..WAYS as u32).map(|connection| closed_key(connection * 2 + 1, 0)).collect();
    for (now, &key) in (1..).zip(&keys) {
        assert!(matches!(close(&mut bucket, Kept { key, now, state: TIME_WAIT }), ClosedSlot::Free(_)));
    }
    (bucket, keys)
}

#[test]
fn a_record_that_is_still_needed_goes_last() {
    let (mut bucket, keys) = full();
    let new = Kept { key: closed_key(99, 0), now: 9, state: TIME_WAIT };
    assert_eq!(close(&mut bucket, new), ClosedSlot::Full);
    let slot = evict_closed::<Std>(reference(&mut bucket), new.key).expect("nothing else updates the bucket");
    write(slot, new);
    assert_eq!((released(&mut bucket, keys[0]), released(&mut bucket, keys[1])), (None, Some(2)));
    let later = Kept { key: closed_key(97, 0), now: 120_000_000_002, state: CLOSE };
    assert!(matches!(close(&mut bucket, later), ClosedSlot::Free(_)), "two minutes later it is not needed");
}

#[test]
fn a_busy_slot_is_not_taken() {
    let (mut bucket, keys) = full();
    bucket.keys[0] |= BUSY;
    assert_eq!(released(&mut bucket, keys[0]), None, "it is being written");
    assert_eq!(close(&mut bucket, Kept { key: keys[0], now: 9, state: TIME_WAIT }), ClosedSlot::Lost);
    assert!(evict_closed::<Std>(reference(&mut bucket), closed_key(99, 0)).is_none(), "the oldest is busy");
}

#[test]
fn a_table_overflows_late_with_a_choice_of_two_buckets() {
    const BITS: u32 = 8;
    let mut buckets = Vec::from([Bucket::<LastOwner>::default(); 1 << BITS]);
    let room = (WAYS << BITS) as u32;
    let fits = |connection: u32, buckets: &mut Vec<Bucket<LastOwner>>| {
        let new = Kept { key: closed_key(connection.wrapping_mul(0x9e37_79b1), 0), now: 1, state: TIME_WAIT };
        let (first, second) = closed_buckets(new.key, shift_of(BITS));
        [first, second].iter().any(|at| close(&mut buckets[*at as usize], new) != ClosedSlot::Full)
    };
    let first_lost = (0..room).find(|connection| !fits(*connection, &mut buckets)).unwrap_or(room);
    assert!(first_lost > room / 2, "{first_lost} of {room}");
}

#[test]
fn keys_are_even_and_never_free() {
    for (connection, snd_nxt) in [(0, 0), (u32::MAX, u32::MAX), (1, 1), (2, 0)] {
        let key = closed_key(connection, snd_nxt);
        assert!(key != 0 && key & BUSY == 0, "{connection} {snd_nxt}");
        assert_eq!(closed_connection(key), u64::from(connection | 1));
    }
    assert_ne!(closed_key(1, 2), closed_key(1, 4), "two lives of a connection");
}
