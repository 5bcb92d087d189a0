//! Where a store is kept, and whether that is a place to keep it.

use std::ffi::CStr;
use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::fault;
use crate::error::{Error, ErrorKind, Result};
use crate::options::ClientOptions;
use crate::tls::TlsOptions;
use crate::url::{EmbeddedUrl, Location};

/// Where one store is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    url: EmbeddedUrl,
    pub(super) at: At,
}

/// The same in terms of the system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum At {
    Memory(String),
    File { path: PathBuf, group: bool, own: bool },
}

/// A file that a store may be kept in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ready {
    /// With no link in it.
    pub(super) path: PathBuf,
    /// For the files of the processes.
    pub(super) dir: PathBuf,
    pub(super) inode: (u64, u64),
    /// Of every file made here.
    pub(super) mode: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Memory(_) => self.url.fmt(f),
            At::File { path, .. } => write!(f, "file:{}", path.display()),
        }
    }
}

impl Place {
    pub(crate) fn new(url: EmbeddedUrl, options: &ClientOptions) -> Result<Self> {
        if options.tls != TlsOptions::default() {
            return Err(Error::invalid(
                "TLS options are given for a store without a server",
                "leave them out, or give a rediss:// URL",
            ));
        }
        let at = match &url.location {
            Location::Memory(name) => At::Memory(name.clone()),
            Location::File(path) => {
                let own = path.is_none();
                let path = match path {
                    // Changes of the working directory come later.
                    Some(path) => std::path::absolute(path)
                        .map_err(|error| fault::io("can't find", path, &error))?,
                    None => default_path()?,
                };
                At::File { path, group: url.group, own }
            }
        };
        Ok(Self { url, at })
    }
}

/// `~/.local/state/fencelock/locks.db`, by the user database: what a login shell, cron and a
/// service of one user agree on. Environment variables differ between them, and two stores would
/// exclude nobody.
fn default_path() -> Result<PathBuf> {
    let home = home().ok_or_else(|| {
        Error::invalid(
            "this user has no home directory to keep file: in",
            "name a file, such as file:/var/lib/my-service/locks.db",
        )
    })?;
    Ok(home.join(".local/state/fencelock/locks.db"))
}

#[expect(unsafe_code, reason = "the user database has no safe interface")]
fn home() -> Option<PathBuf> {
    let mut entry = std::mem::MaybeUninit::<libc::passwd>::uninit();
    let mut found = std::ptr::null_mut();
    let mut buffer = vec![0; 16 * 1024];
    let uid = rustix::process::geteuid().as_raw();
    // SAFETY: every pointer is valid for the length of the call, and the buffer for what is said
    // of its size.
    let failed = unsafe {
        libc::getpwuid_r(uid, entry.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &raw mut found)
    };
    if failed != 0 || found.is_null() {
        return None;
    }
    // SAFETY: the entry was filled in, and its home is a text in the buffer, which still lives.
    let home = unsafe { CStr::from_ptr((*found).pw_dir) };
    let home = PathBuf::from(std::ffi::OsStr::from_bytes(home.to_bytes()));
    (home.is_absolute() && home.is_dir()).then_some(home)
}

/// Makes the file if it is not there, and looks whether everything is as it must be. No
/// connection of this process may be open to the file: to close any descriptor of it would end
/// that one's locks.
pub(super) fn prepare(path: &Path, group: bool, own: bool) -> Result<Ready> {
    let (file_mode, dir_mode) = if group { (0o660, 0o2770) } else { (0o600, 0o700) };
    let parent = path.parent().unwrap_or(Path::new("/"));
    if own {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| fault::io("can't make", parent, &error))?;
    }
    let path = resolve(path, parent)?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    check_file_system(parent)?;
    let dir = beside(&path, dir_mode)?;
    let found = make(&path, &dir, file_mode)?;
    check_file(&path, &found, group)?;
    Ok(Ready { path, dir, inode: (found.dev(), found.ino()), mode: file_mode })
}

/// The path with no link in it, whether the file is there or not.
fn resolve(path: &Path, parent: &Path) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(path) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fault::io("can't open", path, &error)),
    }
    let parent =
        fs::canonicalize(parent).map_err(|error| fault::io("can't open", parent, &error))?;
    Ok(parent.join(path.file_name().unwrap_or_default()))
}

fn make(path: &Path, dir: &Path, mode: u32) -> Result<Metadata> {
    let failed = |error: io::Error| fault::io("can't make", path, &error);
    // What is left of a file that was deleted must not become part of a new one; and nobody may
    // have begun to use that meanwhile.
    let making = File::open(dir).map_err(failed)?;
    rustix::fs::flock(&making, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|error| failed(error.into()))?;
    if !path.exists() {
        for ending in ["-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            let _ = fs::remove_file(name);
        }
    }
    let created = OpenOptions::new().create_new(true).write(true).mode(mode).open(path);
    match created {
        Ok(file) => {
            let set = file.set_permissions(Permissions::from_mode(mode));
            set.map_err(|error| fault::io("can't set the permissions of", path, &error))?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    fs::symlink_metadata(path).map_err(|error| fault::io("can't open", path, &error))
}

fn check_file(path: &Path, found: &Metadata, group: bool) -> Result<()> {
    let shown = path.display();
    if !found.is_file() {
        return Err(Error::invalid(
            format!("{shown} is no regular file"),
            "name the file that is to keep the locks, such as file:/path/locks.db",
        ));
    }
    if found.nlink() != 1 {
        return Err(Error::invalid(
            format!("{shown} has {} names (hard links)", found.nlink()),
            "keep the store under one name: beside it are files that go by it",
        ));
    }
    let others = if group { 0o007 } else { 0o077 };
    if found.mode() & others != 0 && found.len() > 0 {
        return Err(Error::new(
            ErrorKind::Denied,
            format!("{shown} is open to others (mode {:o})", found.mode() & 0o777),
            "chmod it to 600, or share it with its group: 660 and ?mode=group",
        ));
    }
    if !group && found.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::new(
            ErrorKind::Denied,
            format!("{shown} belongs to another user"),
            "name a file of your own, or share one with a group: ?mode=group",
        ));
    }
    let mode = if group { 0o660 } else { 0o600 };
    if found.mode() & 0o777 != mode {
        if found.len() > 0 && group {
            return Err(Error::new(
                ErrorKind::Denied,
                format!("{shown} is not shared with its group (mode {:o})", found.mode() & 0o777),
                "chmod it to 660 while nobody uses it, or leave ?mode=group out",
            ));
        }
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|error| fault::io("can't set the permissions of", path, &error))?;
    }
    Ok(())
}

/// The directory of the processes' files, beside the store.
fn beside(path: &Path, mode: u32) -> Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".d");
    let dir = path.with_file_name(name);
    let failed = |error: io::Error| fault::io("can't make", &dir, &error);
    match DirBuilder::new().mode(mode).create(&dir) {
        Ok(()) => fs::set_permissions(&dir, Permissions::from_mode(mode)).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    let found = fs::symlink_metadata(&dir).map_err(failed)?;
    let closed = found.mode() & if mode & 0o070 == 0 { 0o077 } else { 0o007 } == 0;
    let owned = found.uid() == rustix::process::geteuid().as_raw() || mode & 0o070 != 0;
    if !found.is_dir() || !closed || !owned {
        return Err(Error::new(
            ErrorKind::Denied,
            format!("{} is no directory of your own, or is open to others", dir.display()),
            "remove it while nobody uses the store; it is made again",
        ));
    }
    Ok(dir)
}

/// Record locks and shared memory must be those of one machine.
#[cfg(target_os = "linux")]
fn check_file_system(dir: &Path) -> Result<()> {
    let found = rustix::fs::statfs(dir)
        .map_err(|error| fault::io("can't tell the file system of", dir, &error.into()))?;
    // `f_type` has another width on each architecture, and these numbers 32 bits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bit pattern")]
    let kind = found.f_type as u32;
    match network_name(kind) {
        Some(name) => Err(remote(dir, name)),
        None => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn network_name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        0x6969 => "NFS",
        0x517B => "SMB",
        0xFF53_4D42 => "CIFS",
        0xFE53_4D42 => "SMB2",
        0x0102_1997 => "9P",
        0x6573_5546 => "FUSE",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x564C => "NCP",
        0x786F_4256 => "a VirtualBox share",
        _ => return None,
    })
}

#[cfg(not(target_os = "linux"))]
fn check_file_system(_dir: &Path) -> Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn remote(dir: &Path, name: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("{} is on {name}, which other machines may share", dir.display()),
        "name a file on a local disk; to lock across machines use redis://",
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0x6573_5546), Some("FUSE"));
        for local in [0xEF53, 0x0102_1994, 0x9123_683E, 0x5846_5342, 0x794C_7630] {
            assert_eq!(network_name(local), None, "ext4, tmpfs, btrfs, xfs, overlayfs");
        }
        let refused = remote(Path::new("/mnt"), "NFS");
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
    }
}
