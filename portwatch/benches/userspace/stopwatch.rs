//! How a routine is measured: by criterion's clock, and by the count of its instructions under valgrind.

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup};
use std::hint::black_box;

/// The one function within which instructions are counted: xtask tells valgrind its name.
#[inline(never)]
fn counted<T>(routine: impl FnOnce() -> T) -> T {
    black_box(routine())
}

/// Measures a routine that can be repeated as it is. Once it runs unmeasured: what is only done the first time, such as
/// finding memory, is no part of its price.
pub(crate) fn again<T>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut routine: impl FnMut() -> T) {
    group.bench_function(name, |bencher| {
        black_box(routine());
        bencher.iter(|| counted(&mut routine));
    });
}

/// Measures a routine that uses something up, which `make` makes anew; neither that nor its end is measured.
pub(crate) fn anew<I, T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    size: BatchSize,
    mut make: impl FnMut() -> I,
    mut routine: impl FnMut(I) -> T,
) {
    group.bench_function(name, |bencher| {
        let input = make();
        black_box(routine(input));
        bencher.iter_batched(&mut make, |input| counted(|| routine(input)), size);
    });
}
