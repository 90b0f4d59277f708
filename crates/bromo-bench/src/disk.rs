//! How long the disk takes to keep a page: charged calls wait for that.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use crate::latency::Latencies;

/// Pages written.
const PAGES: u64 = 200;
/// Bytes of one.
const PAGE_BYTES: usize = 4096;

/// p50 and p99 of a write of 4 KiB and its `fdatasync`, in microseconds.
pub(crate) fn sync_us(folder: &Path) -> std::io::Result<(f64, f64)> {
    let path = folder.join("sync");
    let file = File::create(&path)?;
    let mut latencies = Latencies::default();
    for page in 0..PAGES {
        let begun = Instant::now();
        file.write_all_at(&[1; PAGE_BYTES], page * PAGE_BYTES as u64)?;
        file.sync_data()?;
        latencies.push(begun.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(latencies.p50_p99_us())
}
