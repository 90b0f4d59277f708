//! Where the programs of servers are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Folders that are searched, in this order. Tests run on machines whose `PATH` may lack the system's own folders.
const FOLDERS: [&str; 6] = ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// Debian keeps each release's programs apart.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// The program of this name.
///
/// # Errors
/// If it is not there: names the Debian package that has it.
pub(crate) fn find(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let folders = FOLDERS.iter().map(PathBuf::from);
    let found = folders.map(|folder| folder.join(name)).find(|path| is_program(path));
    found.with_context(|| format!("{name} is not installed: apt-get install {package}"))
}

/// The folder with the programs of the newest PostgreSQL.
///
/// # Errors
/// If there is none: names the Debian package.
pub(crate) fn postgresql() -> anyhow::Result<PathBuf> {
    let releases = fs::read_dir(POSTGRESQL).into_iter().flatten().flatten();
    let numbered = releases.filter_map(|entry| Some((release(&entry.path())?, entry.path().join("bin"))));
    let newest = numbered.filter(|(_, folder)| is_program(&folder.join("initdb"))).max();
    match newest {
        Some((_, folder)) => Ok(folder),
        None => {
            let initdb = find("initdb", "postgresql")?;
            Ok(initdb.parent().context("initdb stands in no folder")?.to_owned())
        }
    }
}

fn release(folder: &Path) -> Option<u32> {
    folder.file_name()?.to_str()?.parse().ok()
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
