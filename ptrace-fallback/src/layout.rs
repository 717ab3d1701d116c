//! Where the stub's own memory lies in every space: above [`abi::USER_MAX`], where applications
//! never map anything.

use crate::call;

/// The stub's image: ELF header, code, constants. Readable and executable, never writable.
pub(crate) const STUB: u64 = 0x7e80_0000_0000;
/// Bytes of the image.
pub(crate) const STUB_BYTES: usize = 4096;
/// Where the image's constants begin (see `stub.rs`).
pub(crate) const CONSTANTS: u64 = STUB + 0x800;
/// `struct sock_fprog` of the filter for application threads.
pub(crate) const APPLICATION_FILTER: u64 = CONSTANTS;
/// `struct sock_fprog` of the filter for service threads.
pub(crate) const SERVICE_FILTER: u64 = CONSTANTS + 16;
/// The byte that an acknowledgement sends.
pub(crate) const ACK: u64 = CONSTANTS + 32;
/// The programs of both filters.
pub(crate) const FILTER_PROGRAMS: u64 = CONSTANTS + 64;

/// The order pages, mapped read-only in the space.
pub(crate) const ORDERS: u64 = STUB + 0x1_0000;
/// Bytes of the order pages.
pub(crate) const ORDERS_BYTES: usize = 8192;
/// The page that exists only while fds are received.
pub(crate) const SCRATCH: u64 = STUB + 0x2_0000;
/// Bytes of it.
pub(crate) const SCRATCH_BYTES: usize = 4096;

/// Where the host writes signal frames, one area per executor (see `tracee.rs`). Application
/// code can write it too: what is read from it is a hint about the writer's own fault.
pub(crate) const FRAMES: u64 = STUB + 0x10_0000;
/// Bytes of one area: a frame with all of AVX-512 takes about 3,700, with AMX 12,000.
pub(crate) const FRAME_BYTES: u64 = 0x8000;

/// End of the host's user addresses (4-level paging).
pub(crate) const HOST_END: u64 = 0x7fff_ffff_f000;

/// The fds of a service thread. There are no others but donated files, from `DONATED` up, between
/// their arrival and their mmap; only the service thread changes the table, so the next number
/// is known.
pub(crate) mod fd {
    /// The memory object.
    pub(crate) const MEMORY: u64 = 0;
    /// The order pages.
    pub(crate) const ORDERS: u64 = 1;
    /// The socket to the Sentry.
    pub(crate) const SOCKET: u64 = 2;
    /// The first that the next message brings.
    pub(crate) const DONATED: u64 = 3;
}

/// How a service thread clones a new space.
pub(crate) const CLONE_SPACE: u64 = call::flag(libc::CLONE_PARENT);
/// How a service thread clones a carrier.
pub(crate) const CLONE_CARRIER: u64 = call::flag(
    libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM,
);
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: hosts before 5.16 would otherwise slow filtered threads down.
pub(crate) const FILTER_FLAGS: u64 = 4;
