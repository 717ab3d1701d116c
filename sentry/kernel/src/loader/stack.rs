//! The first stack of a program (System V ABI for AMD64, 3.4.1 "Initial Stack and Register
//! State"), laid out as Linux does:
//!
//! ```text
//!   top -> 8 zero bytes | AT_EXECFN | environment | arguments | (random gap)
//!          "x86_64" | 16 random bytes | (alignment to 16)
//!          auxiliary vector | NULL | envp | NULL | argv | argc  <- stack pointer
//! ```

use abi::{AddrRange, Errno, UserAddr, auxv};

use super::ArgumentRanges;

/// Longest argument or environment string, with its NUL (execve(2), `MAX_ARG_STRLEN`).
const STRING_MAX_BYTES: usize = 131_072;
/// What arguments and environment may always take, whatever the limit (execve(2), `ARG_MAX`).
const TOTAL_MIN_BYTES: u64 = 131_072;
/// The most they may take: three quarters of Linux' default stack limit of 8 MiB.
const TOTAL_MAX_BYTES: u64 = 6 << 20;
/// What `AT_PLATFORM` names.
const PLATFORM: &[u8] = b"x86_64\0";

/// What a program finds on its stack.
#[derive(Debug)]
pub(super) struct StackArgs<'a> {
    /// The first address behind the stack.
    pub(super) top: UserAddr,
    /// The path of the program, for `AT_EXECFN`.
    pub(super) path: &'a [u8],
    /// Arguments.
    pub(super) argv: &'a [Vec<u8>],
    /// Environment.
    pub(super) envp: &'a [Vec<u8>],
    /// The auxiliary vector, without what points into the stack and without its end.
    pub(super) auxv: &'a [(u64, u64)],
    /// For `AT_RANDOM`.
    pub(super) random: [u8; 16],
    /// Bytes left free below the strings: the stack pointer is to be random within pages, too.
    pub(super) gap: u64,
}

/// A stack that is ready to be written.
#[derive(Debug)]
pub(super) struct Stack {
    /// The stack pointer, where `bytes` begin; they end below the top.
    pub(super) pointer: UserAddr,
    /// What lies there.
    pub(super) bytes: Vec<u8>,
    /// Where what lies.
    pub(super) ranges: ArgumentRanges,
}

/// Checks the sizes of arguments and environment against a stack limit of `stack_bytes`.
///
/// # Errors
///
/// `E2BIG`.
pub(super) fn check_size(
    path: &[u8],
    argv: &[Vec<u8>],
    envp: &[Vec<u8>],
    stack_bytes: u64,
) -> Result<(), Errno> {
    let limit = (stack_bytes / 4).clamp(TOTAL_MIN_BYTES, TOTAL_MAX_BYTES);
    let mut total = path.len() as u64 + 1;
    for string in argv.iter().chain(envp) {
        if string.len() >= STRING_MAX_BYTES {
            return Err(Errno::E2BIG);
        }
        // The string with its NUL, and the pointer to it.
        total += string.len() as u64 + 1 + 8;
        if total > limit {
            return Err(Errno::E2BIG);
        }
    }
    Ok(())
}

impl Stack {
    /// Lays the stack out. The sizes were checked.
    ///
    /// # Errors
    ///
    /// `E2BIG` if it does not lie above address 0.
    pub(super) fn build(args: &StackArgs<'_>) -> Result<Self, Errno> {
        let strings = Strings::new(args)?;
        let below = |addr: u64, bytes: u64| addr.checked_sub(bytes).ok_or(Errno::E2BIG);
        let platform = below(strings.start, args.gap)?;
        let platform = below(platform & !15, PLATFORM.len() as u64)?;
        let random = below(platform, 16)?;
        let mut auxv = args.auxv.to_vec();
        auxv.extend([
            (auxv::AT_RANDOM, random),
            (auxv::AT_EXECFN, strings.path),
            (auxv::AT_PLATFORM, platform),
            (auxv::AT_NULL, 0),
        ]);
        let pointers = args.argv.len() + args.envp.len() + 3;
        let words = pointers as u64 + 2 * auxv.len() as u64;
        let pointer = below(random, words * 8)? & !15;
        let mut bytes = Writer { start: pointer, bytes: Vec::new() };
        bytes.word(args.argv.len() as u64);
        bytes.pointers(args.argv, strings.argv);
        bytes.pointers(args.envp, strings.envp);
        let auxv_at = bytes.here();
        for (key, value) in auxv {
            bytes.word(key);
            bytes.word(value);
        }
        let auxv_end = bytes.here();
        bytes.at(random, &args.random);
        bytes.at(platform, PLATFORM);
        bytes.at(strings.argv, &[]);
        for string in args.argv.iter().chain(args.envp) {
            bytes.string(string);
        }
        bytes.string(args.path);
        bytes.at(args.top.get(), &[]);
        let range = |start, end| AddrRange::new(UserAddr::new(start), UserAddr::new(end));
        let ranges = ArgumentRanges {
            args: range(strings.argv, strings.envp),
            env: range(strings.envp, strings.path),
            auxv: range(auxv_at, auxv_end),
        };
        Ok(Self { pointer: UserAddr::new(pointer), bytes: bytes.bytes, ranges })
    }
}

/// Where the strings go.
struct Strings {
    start: u64,
    argv: u64,
    envp: u64,
    path: u64,
}

impl Strings {
    fn new(args: &StackArgs<'_>) -> Result<Self, Errno> {
        let bytes = |strings: &[Vec<u8>]| -> u64 {
            strings.iter().map(|string| string.len() as u64 + 1).sum()
        };
        let below = |addr: u64, bytes: u64| addr.checked_sub(bytes).ok_or(Errno::E2BIG);
        let path = below(args.top.get(), 8 + args.path.len() as u64 + 1)?;
        let envp = below(path, bytes(args.envp))?;
        let argv = below(envp, bytes(args.argv))?;
        Ok(Self { start: argv, argv, envp, path })
    }
}

/// Bytes from an address upwards.
struct Writer {
    start: u64,
    bytes: Vec<u8>,
}

impl Writer {
    fn here(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn word(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Pointers to strings that lie one after the other, then a null pointer.
    fn pointers(&mut self, strings: &[Vec<u8>], mut addr: u64) {
        for string in strings {
            self.word(addr);
            addr += string.len() as u64 + 1;
        }
        self.word(0);
    }

    fn string(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
    }

    /// Goes on at `addr`, with zero bytes up to there.
    fn at(&mut self, addr: u64, bytes: &[u8]) {
        let len = usize::try_from(addr.saturating_sub(self.start)).unwrap_or(0);
        self.bytes.resize(len.max(self.bytes.len()), 0);
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::cast_possible_truncation, reason = "small numbers of tests")]

    use proptest::prelude::*;

    use super::*;

    const TOP: u64 = 0x7dff_ffff_f000;

    fn build(argv: &[Vec<u8>], envp: &[Vec<u8>], gap: u64) -> Stack {
        Stack::build(&StackArgs {
            top: UserAddr::new(TOP),
            path: b"/bin/prog",
            argv,
            envp,
            auxv: &[(auxv::AT_PAGESZ, 4096), (auxv::AT_UID, 5)],
            random: *b"0123456789abcdef",
            gap,
        })
        .unwrap()
    }

    /// Reads a stack as the start-up code of a program does.
    struct Reader<'a>(&'a Stack);

    impl Reader<'_> {
        fn bytes(&self, addr: u64) -> &[u8] {
            &self.0.bytes[(addr - self.0.pointer.get()) as usize..]
        }

        fn word(&self, addr: u64) -> u64 {
            u64::from_le_bytes(self.bytes(addr)[..8].try_into().unwrap())
        }

        fn string(&self, addr: u64) -> Vec<u8> {
            self.bytes(addr).iter().copied().take_while(|byte| *byte != 0).collect()
        }

        /// The strings of an array, and where the array ends.
        fn strings(&self, mut at: u64) -> (Vec<Vec<u8>>, u64) {
            let mut strings = Vec::new();
            while self.word(at) != 0 {
                strings.push(self.string(self.word(at)));
                at += 8;
            }
            (strings, at + 8)
        }
    }

    fn strings() -> impl Strategy<Value = Vec<Vec<u8>>> {
        proptest::collection::vec(proptest::collection::vec(1..=255_u8, 0..40), 0..12)
    }

    proptest! {
        #[test]
        fn a_program_finds_what_it_was_given(
            argv in strings(), envp in strings(), gap in 0..8192_u64,
        ) {
            let stack = build(&argv, &envp, gap);
            let reader = Reader(&stack);
            let pointer = stack.pointer.get();
            prop_assert_eq!(pointer % 16, 0);
            prop_assert_eq!(pointer + stack.bytes.len() as u64, TOP);
            prop_assert_eq!(reader.word(pointer), argv.len() as u64);
            let (found, at) = reader.strings(pointer + 8);
            prop_assert_eq!(&found, &argv);
            let (found, mut at) = reader.strings(at);
            prop_assert_eq!(&found, &envp);
            prop_assert_eq!(stack.ranges.auxv.start.get(), at);
            let mut auxv = std::collections::BTreeMap::new();
            while reader.word(at) != auxv::AT_NULL {
                auxv.insert(reader.word(at), reader.word(at + 8));
                at += 16;
            }
            prop_assert_eq!(stack.ranges.auxv.end.get(), at + 16);
            prop_assert_eq!((auxv[&auxv::AT_PAGESZ], auxv[&auxv::AT_UID]), (4096, 5));
            prop_assert_eq!(reader.string(auxv[&auxv::AT_EXECFN]), b"/bin/prog");
            prop_assert_eq!(reader.string(auxv[&auxv::AT_PLATFORM]), b"x86_64");
            prop_assert_eq!(&reader.bytes(auxv[&auxv::AT_RANDOM])[..16], b"0123456789abcdef");
            // setproctitle and /proc/PID/cmdline rely on it: no gap between the strings.
            let mut joined: Vec<u8> = Vec::new();
            for string in argv.iter().chain(&envp) {
                joined.extend_from_slice(string);
                joined.push(0);
            }
            let ranges = stack.ranges;
            prop_assert_eq!(ranges.args.end, ranges.env.start);
            let len = ranges.args.len() + ranges.env.len();
            prop_assert_eq!(&reader.bytes(ranges.args.start.get())[..len as usize], joined);
        }
    }

    #[test]
    fn sizes_are_limited_by_string_and_in_sum() {
        let big = vec![vec![b'a'; STRING_MAX_BYTES]];
        assert_eq!(check_size(b"x", &big, &[], u64::MAX), Err(Errno::E2BIG));
        let fits = vec![vec![b'a'; STRING_MAX_BYTES - 1]];
        assert_eq!(check_size(b"x", &fits, &[], 8 << 20), Ok(()));
        assert_eq!(check_size(b"x", &[], &fits, 0), Err(Errno::E2BIG));
        let many = vec![vec![b'a'; 1000]; 1000];
        assert_eq!(check_size(b"x", &many, &[], 8 << 20), Ok(()));
        assert_eq!(check_size(b"x", &many, &[], 2 << 20), Err(Errno::E2BIG));
        let six_mib = vec![vec![b'a'; 1000]; 6300];
        assert_eq!(check_size(b"x", &[], &six_mib, u64::MAX), Err(Errno::E2BIG));
    }

    #[test]
    fn a_stack_that_would_reach_below_zero_is_refused() {
        let args = StackArgs {
            top: UserAddr::new(100),
            path: b"/bin/prog",
            argv: &[],
            envp: &[],
            auxv: &[],
            random: [0; 16],
            gap: 0,
        };
        assert_eq!(Stack::build(&args).unwrap_err(), Errno::E2BIG);
    }
}
