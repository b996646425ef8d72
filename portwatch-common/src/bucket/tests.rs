//! The tables against a plain map: any order of inserts, replacements and removals, and what concurrent updates leave.

mod closed;

extern crate std;

use std::boxed::Box;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::Assignment;

/// The operations as user space has them.
enum Std {}

impl Words for Std {
    unsafe fn claim(word: *mut u64, old: u64, new: u64) -> bool {
        // SAFETY: required of the caller.
        let word = unsafe { AtomicU64::from_ptr(word) };
        word.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    unsafe fn publish(word: *mut u64, new: u64) {
        // SAFETY: required of the caller.
        unsafe { AtomicU64::from_ptr(word) }.store(new, Ordering::SeqCst);
    }

    unsafe fn add(word: *mut u64, amount: u64) {
        // SAFETY: required of the caller.
        unsafe { AtomicU64::from_ptr(word) }.fetch_add(amount, Ordering::SeqCst);
    }
}

/// One bucket and an overflow hash with room for [`OVERFLOW`] entries, so that every limit is reached.
struct Store {
    bucket: Box<Bucket<u64>>,
    overflow: HashMap<u64, Box<u64>>,
    has_buckets: bool,
    /// The hash refuses every insert, as if its lock were taken.
    is_locked: bool,
    not_kept: Vec<NotKept>,
}

const OVERFLOW: usize = 3;

impl Store {
    fn new(has_buckets: bool) -> Self {
        let (overflow, not_kept) = (HashMap::new(), Vec::new());
        Self { bucket: Box::default(), overflow, has_buckets, is_locked: false, not_kept }
    }
}

std::thread_local! {
    static STORE: RefCell<Store> = RefCell::new(Store::new(true));
}

fn store<T>(work: impl FnOnce(&mut Store) -> T) -> T {
    STORE.with(|store| work(&mut store.borrow_mut()))
}

enum One {}

impl Table for One {
    type Value = u64;
    type Words = Std;

    fn bucket(_: u64) -> Option<BucketRef<u64>> {
        let bucket = store(|store| store.has_buckets.then(|| NonNull::from(&mut *store.bucket)));
        // SAFETY: the bucket stays where it is until the test ends.
        bucket.map(|bucket| unsafe { BucketRef::new(bucket) })
    }

    fn overflow_find(key: u64) -> Option<*mut u64> {
        store(|store| store.overflow.get_mut(&key).map(|value| &raw mut **value))
    }

    fn overflow_insert(key: u64, value: &u64) -> Result<(), NotKept> {
        store(|store| {
            if store.is_locked {
                return Err(NotKept::Busy);
            }
            if store.overflow.len() == OVERFLOW && !store.overflow.contains_key(&key) {
                return Err(NotKept::Full);
            }
            store.overflow.insert(key, Box::new(*value));
            Ok(())
        })
    }

    fn overflow_remove(key: u64) -> bool {
        store(|store| store.overflow.remove(&key).is_some())
    }

    fn count_not_kept(reason: NotKept) {
        store(|store| store.not_kept.push(reason));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u64),
    /// Insert unless the value there is this one already.
    InsertUnless(u64),
    Remove(u64),
    Lock(bool),
}

/// Few keys, so that they meet again and again.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || (1..12_u64).prop_map(|key| key * 2);
    let step = prop_oneof![
        4 => key().prop_map(Step::Insert),
        2 => key().prop_map(Step::InsertUnless),
        4 => key().prop_map(Step::Remove),
        1 => any::<bool>().prop_map(Step::Lock),
    ];
    prop::collection::vec(step, 1..200)
}

fn found(key: u64) -> Option<u64> {
    // SAFETY: a value of the store, which nothing else uses.
    One::find(key).map(|value| unsafe { *value })
}

/// Carries a step out on the table and on the model, which forgets what the table says that it did not keep.
fn take(step: Step, value: u64, model: &mut HashMap<u64, u64>) {
    let before = store(|store| store.not_kept.len());
    let (inserted, keeps_equal) = match step {
        Step::Insert(key) => (key, false),
        Step::InsertUnless(key) => (key, true),
        Step::Remove(key) => {
            One::remove(key);
            model.remove(&key);
            return;
        }
        Step::Lock(is_locked) => return store(|store| store.is_locked = is_locked),
    };
    let old = model.get(&inserted).copied().filter(|_| keeps_equal);
    match One::reserve_unless(inserted, |present| Some(*present) == old) {
        Slot::UpToDate => return assert!(old.is_some(), "{inserted} is up to date, but not in the table"),
        Slot::Reserved(slot) => {
            assert_eq!(old, None, "{inserted} was found and not called up to date");
            // SAFETY: the slot is claimed.
            unsafe { *slot.value() = value };
            slot.publish::<Std>(inserted);
        }
        Slot::Overflow(bucket) => {
            assert_eq!(old, None, "{inserted} was found and not called up to date");
            One::spill(bucket, inserted, &value);
        }
    }
    let is_kept = store(|store| store.not_kept.len()) == before;
    if is_kept {
        model.insert(inserted, value)
    } else {
        model.remove(&inserted)
    };
}

/// Every key is in the table once, with its newest value, and the bucket knows how many it has in the overflow hash.
fn compare(model: &HashMap<u64, u64>) {
    for key in (1..12).map(|key| key * 2) {
        assert_eq!(found(key), model.get(&key).copied(), "{key}");
    }
    store(|store| {
        let in_bucket: Vec<u64> = store.bucket.keys.iter().copied().filter(|key| *key != 0).collect();
        let all: HashSet<u64> = in_bucket.iter().chain(store.overflow.keys()).copied().collect();
        assert_eq!(all.len(), in_bucket.len() + store.overflow.len(), "a key is there twice: {in_bucket:?}");
        assert_eq!(all.len(), model.len());
        if store.has_buckets {
            assert_eq!(store.bucket.spilled, store.overflow.len() as u64);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_is_a_map(steps in steps(), has_buckets in any::<bool>()) {
        store(|store| *store = Store::new(has_buckets));
        let mut model = HashMap::new();
        for (value, step) in (1..).zip(steps) {
            take(step, value, &mut model);
            compare(&model);
        }
    }
}

fn reference<V>(bucket: &mut Bucket<V>) -> BucketRef<V> {
    // SAFETY: the caller keeps the bucket, and uses it through this reference only until it returns.
    unsafe { BucketRef::new(NonNull::from(bucket)) }
}

/// Threads that insert and remove keys of their own in one bucket: each finds what it put there, and in the end nothing is left.
#[test]
fn slots_of_one_bucket_are_shared_without_a_lock() {
    struct Shared(BucketRef<Assignment>);
    // SAFETY: a bucket is made to be shared by these operations.
    unsafe impl Send for Shared {}
    let mut bucket = Box::<Bucket<Assignment>>::default();
    let shared = NonNull::from(&mut *bucket);
    thread::scope(|scope| {
        for thread in 1..=6_u64 {
            // SAFETY: the bucket outlives the scope.
            let shared = Shared(unsafe { BucketRef::new(shared) });
            scope.spawn(move || {
                let Shared(bucket) = { shared };
                for round in 0..20_000_u64 {
                    let key = (thread << 32) | ((round % 3 + 1) * 2);
                    let Some(slot) = claim_slot::<Std, _>(bucket, key) else { continue };
                    // SAFETY: the slot is claimed.
                    unsafe { (*slot.value()).assigned_ns = key };
                    slot.publish::<Std>(key);
                    let found = find_slot::<Std, _>(bucket, key).expect("it was put there");
                    // SAFETY: a value that only this thread changes.
                    let value = unsafe { (*found.value()).assigned_ns };
                    assert_eq!((found, value), (slot, key), "round {round}");
                    slot.write_key(0);
                }
            });
        }
    });
    assert_eq!(bucket.keys, [0; WAYS]);
}
