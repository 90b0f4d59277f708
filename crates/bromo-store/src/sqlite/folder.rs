//! The data folder: made for its owner alone, and claimed by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::StoreError;

/// The claim of a folder, given back when it is dropped. It lasts no longer than the process, so a crashed one leaves
/// nothing to clean up.
pub(super) struct Claim(File);

impl Drop for Claim {
    /// Closing the file alone gives nothing back while a child that was forked this moment still has it too.
    fn drop(&mut self) {
        drop(self.0.unlock());
    }
}

/// Makes the folder if it is missing and takes the lock file in it.
pub(super) fn claim(folder: &Path, lock_name: &str) -> Result<Claim, StoreError> {
    let unavailable = |what: &str, error: &dyn std::fmt::Display| StoreError::Unavailable {
        reason: format!("{what} {}: {error}", folder.display()),
    };
    make(folder).map_err(|error| unavailable("cannot make the folder", &error))?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(lock_name))
        .map_err(|error| unavailable("cannot open the lock file in", &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(Claim(lock)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable {
            reason: format!("the folder {} is in use by another process", folder.display()),
        }),
        Err(TryLockError::Error(error)) => Err(unavailable("cannot lock the folder", &error)),
    }
}

fn make(folder: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    // A folder that was there, for example for the model, may be open to others.
    #[cfg(unix)]
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}
