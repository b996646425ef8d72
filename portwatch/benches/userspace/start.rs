//! What the start of `trace` takes in user space: this kernel's type information, read and searched.

use crate::stopwatch::again;
use criterion::Criterion;
use portwatch::probe::Kernel;
use portwatch::probe::kernel::BTF_PATH;

pub(crate) fn measure(criterion: &mut Criterion) {
    if let Err(reason) = Kernel::read() {
        eprintln!("start: skipped, {BTF_PATH}: {reason}");
        return;
    }
    let mut group = criterion.benchmark_group("start");
    group.sample_size(10);
    again(&mut group, "type-information", Kernel::read);
    group.finish();
}
