//! The model's file: there, whole, and the one it says it is.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// The name under which `make model` puts the default model.
const DEFAULT_NAME: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// What is in the default model's file.
const DEFAULT_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
/// Bytes read at once while checking.
const READ_BYTES: usize = 1024 * 1024;

/// A file as far as a look from outside tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    changed: SystemTime,
}

impl Stamp {
    /// None if there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self { bytes: found.len(), changed: found.modified().ok()? })
    }

    /// The line that remembers a checked file.
    fn line(self) -> String {
        let changed = self.changed.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        format!("{DEFAULT_SHA256} {} {changed}\n", self.bytes)
    }
}

/// Checks that the file is there, and that a file of the default model's name is the default model.
///
/// Hashing takes a good part of a start, so a checked file is remembered by size and time in a small file
/// beside it. Where that cannot be written, it is checked each time.
///
/// # Errors
/// What is wrong, with the command or setting that mends it.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let Some(stamp) = Stamp::of(path) else {
        return Err(format!(
            "the embedded model's file {} is missing: run `make model`, or set providers.embedded.model_path",
            path.display(),
        ));
    };
    if path.file_name().is_none_or(|name| name != DEFAULT_NAME) {
        return Ok(());
    }
    let remembered = remembered_at(path);
    if fs::read_to_string(&remembered).is_ok_and(|line| line == stamp.line()) {
        return Ok(());
    }
    let found = sha256(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if found != DEFAULT_SHA256 {
        return Err(format!(
            "the embedded model's file {} is damaged: delete it and run `make model`, or set \
             providers.embedded.model_path",
            path.display(),
        ));
    }
    if let Err(error) = fs::write(&remembered, stamp.line()) {
        tracing::debug!(%error, "cannot remember that the model's file was checked");
    }
    Ok(())
}

fn remembered_at(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".checked");
    name.into()
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_names_the_command_and_the_setting() {
        let folder = tempfile::tempdir().unwrap();
        let reason = check(&folder.path().join(DEFAULT_NAME)).unwrap_err();
        assert!(
            reason.contains("`make model`") && reason.contains("providers.embedded.model_path"),
            "{reason}"
        );
        assert!(check(folder.path()).is_err(), "a folder is no file");
    }

    #[test]
    fn a_file_of_the_default_name_must_be_the_default_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DEFAULT_NAME);
        fs::write(&path, "not a model").unwrap();
        assert!(check(&path).unwrap_err().contains("damaged"));
        // Remembered as checked, it is not read again, until it changes.
        fs::write(remembered_at(&path), Stamp::of(&path).unwrap().line()).unwrap();
        assert_eq!(check(&path), Ok(()));
        fs::write(&path, "no model either").unwrap();
        assert!(check(&path).unwrap_err().contains("damaged"));
    }

    #[test]
    fn a_file_of_another_name_may_be_any() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.gguf");
        fs::write(&path, "anything").unwrap();
        assert_eq!(check(&path), Ok(()));
    }

    #[test]
    fn a_hash_is_that_of_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        assert_eq!(
            sha256(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
