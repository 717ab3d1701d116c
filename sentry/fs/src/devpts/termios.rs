//! Terminal attributes (termios(3)).

/// `struct termios` of the kernel: four words of flags, the line discipline, 19 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, state::Save, state::Load)]
pub(super) struct Termios {
    pub(super) iflag: u32,
    pub(super) oflag: u32,
    pub(super) cflag: u32,
    pub(super) lflag: u32,
    pub(super) line: u8,
    pub(super) cc: [u8; 19],
}

/// Bytes of `struct termios`.
pub(super) const TERMIOS_BYTES: usize = 36;

pub(super) const ISTRIP: u32 = 0o40;
pub(super) const INLCR: u32 = 0o100;
pub(super) const IGNCR: u32 = 0o200;
pub(super) const ICRNL: u32 = 0o400;
pub(super) const IUCLC: u32 = 0o1000;
pub(super) const IXON: u32 = 0o2000;
pub(super) const IXANY: u32 = 0o4000;
pub(super) const IUTF8: u32 = 0o40000;

pub(super) const OPOST: u32 = 0o1;
pub(super) const OLCUC: u32 = 0o2;
pub(super) const ONLCR: u32 = 0o4;
pub(super) const OCRNL: u32 = 0o10;
pub(super) const ONOCR: u32 = 0o20;
pub(super) const ONLRET: u32 = 0o40;
pub(super) const TABDLY: u32 = 0o14000;

pub(super) const ISIG: u32 = 0o1;
pub(super) const ICANON: u32 = 0o2;
pub(super) const ECHO: u32 = 0o10;
pub(super) const ECHOE: u32 = 0o20;
pub(super) const ECHOK: u32 = 0o40;
pub(super) const ECHONL: u32 = 0o100;
pub(super) const NOFLSH: u32 = 0o200;
pub(super) const TOSTOP: u32 = 0o400;
pub(super) const ECHOCTL: u32 = 0o1000;
pub(super) const ECHOKE: u32 = 0o4000;
pub(super) const IEXTEN: u32 = 0o100_000;

pub(super) const VINTR: usize = 0;
pub(super) const VQUIT: usize = 1;
pub(super) const VERASE: usize = 2;
pub(super) const VKILL: usize = 3;
pub(super) const VEOF: usize = 4;
pub(super) const VTIME: usize = 5;
pub(super) const VMIN: usize = 6;
pub(super) const VSTART: usize = 8;
pub(super) const VSTOP: usize = 9;
pub(super) const VSUSP: usize = 10;
pub(super) const VEOL: usize = 11;
pub(super) const VWERASE: usize = 14;
pub(super) const VLNEXT: usize = 15;
pub(super) const VEOL2: usize = 16;

impl Default for Termios {
    /// What Linux gives a new pty.
    fn default() -> Self {
        let cc = [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0];
        Self {
            iflag: ICRNL | IXON,
            oflag: OPOST | ONLCR,
            cflag: 0o277,
            lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            line: 0,
            cc,
        }
    }
}

impl Termios {
    /// As ioctl `TCGETS` gives it.
    pub(super) fn to_bytes(self) -> [u8; TERMIOS_BYTES] {
        let mut bytes = [0; TERMIOS_BYTES];
        let words = [self.iflag, self.oflag, self.cflag, self.lflag];
        let flat = words.iter().flat_map(|word| word.to_le_bytes());
        let all = flat.chain([self.line]).chain(self.cc);
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
        bytes
    }

    /// As ioctl `TCSETS` takes it.
    pub(super) fn from_bytes(bytes: &[u8; TERMIOS_BYTES]) -> Self {
        let word = |index: usize| {
            let mut word = [0; 4];
            word.iter_mut().zip(bytes.iter().skip(index * 4)).for_each(|(to, from)| *to = *from);
            u32::from_le_bytes(word)
        };
        let mut cc = [0; 19];
        cc.iter_mut().zip(bytes.iter().skip(17)).for_each(|(to, from)| *to = *from);
        Self {
            iflag: word(0),
            oflag: word(1),
            cflag: word(2),
            lflag: word(3),
            line: bytes.get(16).copied().unwrap_or(0),
            cc,
        }
    }

    pub(super) fn input(&self, flag: u32) -> bool {
        self.iflag & flag != 0
    }

    pub(super) fn output(&self, flag: u32) -> bool {
        self.oflag & flag != 0
    }

    pub(super) fn local(&self, flag: u32) -> bool {
        self.lflag & flag != 0
    }

    /// Special character `index`; 0 means that it is switched off.
    pub(super) fn character(&self, index: usize) -> u8 {
        self.cc.get(index).copied().unwrap_or(0)
    }

    /// True if `byte` is special character `index`.
    pub(super) fn is(&self, byte: u8, index: usize) -> bool {
        byte != 0 && self.character(index) == byte
    }
}
