//! What `fork` changes. A forked child shares the parent's sockets and copies its memory, locks
//! in whatever state other threads had them, but none of its threads. So in the child everything
//! that the parent made is left alone (never locked, dropped or written to), inherited
//! descriptors are closed, and clients begin anew.
//!
//! A *generation* counts the forks that this process descends from; state remembers the one
//! that it was made in.

#![expect(unsafe_code, reason = "pthread_atfork, and close and fstat inside its child handler")]

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(1);
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Descriptors that a child must close, each with the inode that it had (0: empty place). The
/// inode tells whether the number has been given to something else behind our back, as
/// daemonising code does that closes every descriptor. Clients that need more than there is
/// room for work, but leave theirs open in a child.
static INHERITED: [(AtomicU64, AtomicU64); 1024] =
    [const { (AtomicU64::new(0), AtomicU64::new(0)) }; 1024];

/// A descriptor that is open for this only: when it is gone, somebody has closed every descriptor
/// of the process, as daemonising code does, the engine's own among them. Its number is in the
/// upper 24 bits, its inode in the others; 0: none.
static SENTINEL: AtomicU64 = AtomicU64::new(0);
const INODE_BITS: u32 = 40;

/// Opens the sentinel, if there is none.
pub(crate) fn post_sentinel() -> std::io::Result<()> {
    let (pipe, _) = std::io::pipe()?;
    let number = u64::try_from(pipe.as_raw_fd()).unwrap_or(0);
    let sentinel = (number << INODE_BITS) | (inode_of(pipe.as_raw_fd()) % (1 << INODE_BITS));
    if SENTINEL.compare_exchange(0, sentinel, Ordering::AcqRel, Ordering::Acquire).is_ok() {
        // It stays open for as long as the process lives.
        std::mem::forget(pipe);
    }
    Ok(())
}

/// The sentinel's descriptor, if it is open.
fn stands(sentinel: u64) -> Option<RawFd> {
    let fd = RawFd::try_from(sentinel >> INODE_BITS).ok()?;
    let inode = sentinel % (1 << INODE_BITS);
    (inode_of(fd) % (1 << INODE_BITS) == inode).then_some(fd)
}

/// A clock that is cheap to read and moves on every few ms.
fn tick() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for writes.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// Whether it is time to look at the sentinel again. A look is a system call, which would cost a
/// lock in a hurry a hundredth; so there is one per tick.
fn to_be_looked_at(last: &AtomicU64) -> bool {
    let now = tick();
    last.swap(now, Ordering::Relaxed) != now
}

/// Whether every descriptor has been closed behind our back, a few ms ago or longer. For the
/// engine's thread.
pub(crate) fn is_stripped() -> bool {
    static LAST: AtomicU64 = AtomicU64::new(0);
    // The sentinel that was missed: a later one is another matter.
    static MISSED: AtomicU64 = AtomicU64::new(0);
    let sentinel = SENTINEL.load(Ordering::Acquire);
    if sentinel != 0 && to_be_looked_at(&LAST) && stands(sentinel).is_none() {
        MISSED.store(sentinel, Ordering::Relaxed);
    }
    sentinel != 0 && MISSED.load(Ordering::Relaxed) == sentinel
}

/// Begins anew, as after a fork, if every descriptor has been closed behind our back: what was
/// made before has numbers that may be somebody else's by now, and is left alone. A thread that
/// waits for a lock at that moment is not woken; a call within the next few ms may not notice, nor
/// one that is under way: the engine's wake-up of itself may go to who has its number next.
pub(crate) fn notice_stripping() {
    static LAST: AtomicU64 = AtomicU64::new(0);
    if !to_be_looked_at(&LAST) {
        return;
    }
    let sentinel = SENTINEL.load(Ordering::Acquire);
    if sentinel != 0
        && stands(sentinel).is_none()
        && SENTINEL.compare_exchange(sentinel, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    {
        GENERATION.fetch_add(1, Ordering::AcqRel);
        for (inode, _) in &INHERITED {
            inode.store(0, Ordering::Relaxed);
        }
        tracing::warn!("every descriptor was closed: leases are lost, clients connect anew");
    }
}

/// The generation of this process: it grows in a child at `fork`. What a binding made under
/// another number belongs to the parent, and is neither locked nor dropped in the child.
///
/// Forks are noticed from the first [`Client`](crate::Client) on.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Begins to notice forks. Called before anything is made that a child must not touch.
pub(crate) fn watch() {
    // Not a Once, which a fork in the middle would leave locked in the child. Two threads that race
    // register twice: a fork then counts twice, which is as good as once.
    if WATCHED.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: the handler is a plain function that lives as long as the process, and does only
    // what is safe in a child of a threaded process: atomics, fstat and close.
    let failed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    if failed == 0 {
        WATCHED.store(true, Ordering::Release);
    } else {
        tracing::error!("fencelock can't notice forks (pthread_atfork: {failed})");
    }
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    let sentinel = SENTINEL.swap(0, Ordering::Relaxed);
    if let Some(fd) = stands(sentinel).filter(|_| sentinel != 0) {
        // SAFETY: it is ours (same inode), and nobody else knows it.
        unsafe { libc::close(fd) };
    }
    for (inode, fd) in &INHERITED {
        let inode = inode.swap(0, Ordering::Relaxed);
        let fd = RawFd::try_from(fd.load(Ordering::Relaxed)).unwrap_or(-1);
        if inode != 0 && inode_of(fd) == inode {
            // SAFETY: the descriptor is one of ours (same inode), and its owner, made in an
            // older generation, never uses or closes it again.
            unsafe { libc::close(fd) };
        }
    }
}

/// The inode behind a descriptor, 0 if there is none.
fn inode_of(fd: RawFd) -> u64 {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the pointer is valid for writes, and read only when fstat says that it wrote.
    unsafe { if libc::fstat(fd, stat.as_mut_ptr()) == 0 { stat.assume_init().st_ino } else { 0 } }
}

/// Keeps a descriptor on the list of those that a child closes, until dropped.
#[derive(Debug)]
pub(crate) struct Inherited {
    place: Option<usize>,
    generation: u64,
}

impl Inherited {
    pub(crate) fn register(fd: RawFd) -> Self {
        let inode = inode_of(fd);
        let place = INHERITED.iter().position(|(taken, number)| {
            // Claimed with a value that matches no inode until the number stands beside it.
            let ours =
                taken.compare_exchange(0, u64::MAX, Ordering::Relaxed, Ordering::Relaxed).is_ok();
            if ours {
                number.store(u64::try_from(fd).unwrap_or(0), Ordering::Relaxed);
                taken.store(inode, Ordering::Release);
            }
            ours
        });
        Self { place, generation: generation() }
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        if let Some(place) = self.place
            && self.generation == generation()
        {
            INHERITED[place].0.store(0, Ordering::Relaxed);
        }
    }
}

/// Something that lives only in the generation that made it: in a child its contents are
/// neither reached nor dropped.
#[derive(Debug)]
pub(crate) struct Native<T> {
    value: Option<T>,
    generation: u64,
}

impl<T> Native<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), generation: generation() }
    }

    /// The contents, unless the process forked since.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.generation == generation())
    }

    /// The contents for changing, unless the process forked since.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.value.as_mut().filter(|_| self.generation == generation())
    }
}

impl<T: Clone> Clone for Native<T> {
    fn clone(&self) -> Self {
        Self { value: self.get().cloned(), generation: self.generation }
    }
}

impl<T> Drop for Native<T> {
    fn drop(&mut self) {
        if self.generation != generation() {
            std::mem::forget(self.value.take());
        }
    }
}
