//! What every platform must do, as tests. A platform runs them by one line in its `tests/`:
//!
//! ```ignore
//! platform::conformance!(|| TestBed { platform, memory });
//! ```
//!
//! Application code is machine code made by [`Program`]; its memory is written through the memory
//! object. Nothing here knows how a platform works.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "tests fail by panicking"
)]

pub mod copies;
pub mod exits;
pub mod faults;
pub mod fpu;
pub mod kicks;
pub mod life;
pub mod mappings;
mod program;
pub mod registers;
pub mod steps;

use std::{
    io::Write,
    sync::{Arc, mpsc},
    time::Duration,
};

use abi::{AddrRange, FpuState, Registers, UserAddr};
use host::{HostFile, MemoryObject};

use crate::{AddressSpace, Backing, Change, Context, Exit, Platform, Protection, UserState};

pub use program::{Program, Reg};

/// How many executors a test bed has.
pub const EXECUTORS: usize = 3;
/// What its memory object holds.
pub const MEMORY_BYTES: u64 = 64 << 20;
/// Where a program's code begins.
pub const CODE: u64 = 0x40_0000;
/// Where its data page begins.
pub const DATA: u64 = 0x50_0000;
/// Where its stack page begins.
pub const STACK: u64 = 0x60_0000;
/// An address where nothing is mapped unless the test does it.
pub const NOTHING: u64 = 0x7000_0000;
/// Offset of the data page in the memory object.
pub const DATA_OFFSET: u64 = 0x10_0000;
/// Offset of the stack page.
pub const STACK_OFFSET: u64 = 0x11_0000;
/// Offset of memory that only the test uses.
pub const FREE_OFFSET: u64 = 0x20_0000;
/// Bytes of a page.
pub const PAGE: u64 = abi::PAGE_SIZE;

/// No test may take longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// A platform with at least [`EXECUTORS`] executors and its memory object of [`MEMORY_BYTES`].
#[derive(Debug)]
pub struct TestBed {
    /// The platform.
    pub platform: Arc<dyn Platform>,
    /// Its memory object.
    pub memory: Arc<MemoryObject>,
}

/// Runs one test on a fresh bed, and ends the process if it takes too long.
pub fn run(name: &'static str, factory: &dyn Fn() -> TestBed, body: fn(&TestBed)) {
    let (done, waiting) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if waiting.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
            // Past what the test runner captures.
            let _ = writeln!(std::io::stderr(), "{name} hangs");
            std::process::abort();
        }
    });
    body(&factory());
    drop(done);
    watchdog.join().unwrap();
}

/// Makes a range.
#[must_use]
pub fn range(start: u64, len: u64) -> AddrRange {
    AddrRange::new(UserAddr::new(start), UserAddr::new(start + len))
}

/// Maps `len` bytes of the memory object.
#[must_use]
pub fn map(start: u64, len: u64, offset: u64, protection: Protection) -> Change {
    Change::Map { range: range(start, len), backing: Backing::Memory { offset }, protection }
}

/// Maps `len` bytes of a file from its start.
#[must_use]
pub fn map_file(start: u64, len: u64, file: &Arc<HostFile>, protection: Protection) -> Change {
    let backing = Backing::File { file: file.clone(), offset: 0 };
    Change::Map { range: range(start, len), backing, protection }
}

/// A host file of `len` bytes, as a Gofer would donate it.
#[must_use]
pub fn file(len: u64) -> Arc<HostFile> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("conformance-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file =
        std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.set_len(len).unwrap();
    Arc::new(HostFile::new(file.into(), true))
}

impl TestBed {
    /// The context of an executor, for the calling thread.
    #[must_use]
    pub fn context(&self, executor: usize) -> Box<dyn Context> {
        self.platform.context(executor).unwrap()
    }

    /// A space with `program` at [`CODE`], a writable page at [`DATA`] and one at [`STACK`].
    #[must_use]
    pub fn space(&self, program: &Program) -> Arc<dyn AddressSpace> {
        let space = self.platform.new_space().unwrap();
        self.memory.write(0, program.code());
        let code = (program.code().len() as u64).next_multiple_of(PAGE);
        assert!(code <= DATA_OFFSET);
        space
            .apply(&[
                map(CODE, code, 0, Protection::READ_EXECUTE),
                map(DATA, PAGE, DATA_OFFSET, Protection::READ_WRITE),
                map(STACK, PAGE, STACK_OFFSET, Protection::READ_WRITE),
            ])
            .unwrap();
        space
    }

    /// A fresh thread at [`CODE`].
    #[must_use]
    pub fn state(&self) -> UserState {
        let regs = Registers::for_exec(CODE, STACK + PAGE);
        UserState::new(regs, FpuState::initial(self.platform.fpu_size_bytes()))
    }

    /// Runs `program` on executor 0 until its first stop.
    #[must_use]
    pub fn first_stop(&self, program: &Program) -> (Exit, UserState) {
        let (exit, state, _, _) = self.first_stop_in(program, &[]);
        (exit, state)
    }

    /// The same with more `changes` to its space, which is handed back.
    #[must_use]
    pub fn first_stop_in(
        &self,
        program: &Program,
        changes: &[Change],
    ) -> (Exit, UserState, Arc<dyn AddressSpace>, Box<dyn Context>) {
        let cx = self.context(0);
        let space = self.space(program);
        space.apply(changes).unwrap();
        let mut state = self.state();
        let exit = go(&*cx, &space, &mut state);
        (exit, state, space, cx)
    }
}

/// Switches until the thread stops for a reason of its own.
pub fn go(cx: &dyn Context, space: &Arc<dyn AddressSpace>, state: &mut UserState) -> Exit {
    loop {
        let exit = cx.switch(space, state).unwrap();
        if exit != Exit::Interrupted {
            return exit;
        }
    }
}

/// Instantiates all tests for the platform that `$factory` makes.
#[macro_export]
macro_rules! conformance {
    ($factory:expr) => {
        $crate::conformance_tests! { $factory;
            exits: a_system_call_shows_its_number_and_arguments;
            exits: the_result_of_a_system_call_is_seen;
            exits: a_32_bit_system_call_is_told_apart;
            exits: sysenter_is_not_served;
            exits: every_exception_has_its_vector;
            exits: a_stop_of_one_thread_leaves_the_others_alone;
            exits: the_vsyscall_page_is_not_there;
            exits: thirty_two_bit_code_never_runs_on;
            faults: absent_pages_fault_with_address_and_access;
            faults: forbidden_accesses_fault_with_address_and_access;
            faults: the_exact_access_survives_other_tasks_in_between;
            faults: access_beyond_the_end_of_a_file_says_so;
            faults: a_fault_answered_by_a_mapping_goes_on;
            registers: no_register_value_breaks_the_switch;
            registers: instruction_pointers_outside_user_space_are_faults;
            registers: no_result_restarts_a_call;
            steps: single_steps_stop_after_each_instruction;
            steps: a_step_over_a_system_call_traps_behind_it;
            copies: copies_go_as_far_as_the_mappings_allow;
            copies: copies_reach_the_end_of_a_file_and_no_further;
            copies: words_are_exchanged_only_where_writable;
            copies: a_copy_never_runs_through_a_removed_mapping;
            mappings: a_mapping_replaces_what_was_there;
            mappings: thousands_of_mappings_in_one_batch;
            mappings: many_files_in_one_batch;
            mappings: stores_to_a_file_mapping_are_in_the_file;
            mappings: nobody_writes_through_a_removed_mapping;
            mappings: nobody_writes_through_a_protected_mapping;
            mappings: threads_that_map_and_unmap_see_their_own_memory;
            mappings: bad_ranges_are_refused;
            kicks: an_endless_loop_is_interrupted;
            kicks: a_kick_before_the_switch_ends_it;
            kicks: no_kick_is_lost;
            kicks: a_kick_of_another_executor_does_not_count;
            fpu: registers_survive_other_tasks;
            fpu: a_thousand_tasks_keep_theirs;
            fpu: registers_move_to_another_executor;
            fpu: registers_move_to_another_space;
            fpu: a_saved_image_is_exact_and_a_changed_one_is_used;
            fpu: no_image_breaks_the_switch;
            fpu: faults_and_traps_keep_the_registers;
            life: a_fork_has_the_same_memory_and_its_own_mappings;
            life: forks_outlive_their_parents;
            life: spaces_come_and_go;
            life: a_space_dropped_by_all_others_runs_on;
            life: a_space_can_be_left_while_it_runs_elsewhere;
        }
    };
}

/// For [`conformance!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr; $($module:ident: $name:ident;)*) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::run(
                    stringify!($name),
                    &$factory,
                    $crate::conformance::$module::$name,
                );
            }
        )*
    };
}
