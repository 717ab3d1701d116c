//! The line discipline: from what the master writes to what the slave reads, and back (termios(3)).

use std::collections::VecDeque;

use abi::Signal;

use super::termios::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG, ISTRIP,
    IUCLC, IUTF8, IXANY, IXON, NOFLSH, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, TABDLY, Termios,
    VEOF, VEOL, VEOL2, VERASE, VINTR, VKILL, VLNEXT, VQUIT, VSTART, VSTOP, VSUSP, VWERASE,
};

/// Most bytes that wait for the slave (`N_TTY_BUF_SIZE`).
pub(super) const INPUT_MAX: usize = 4096;
/// Most bytes that wait for the master.
pub(super) const OUTPUT_MAX: usize = 16_384;

/// The state of a terminal.
#[derive(Debug, Default, state::Save, state::Load)]
pub(super) struct Line {
    pub(super) termios: Termios,
    /// Bytes that the slave may read; complete lines in canonical mode.
    pub(super) ready: VecDeque<u8>,
    /// Lengths of the lines in `ready` (canonical mode). A length of 0 is an end of file.
    pub(super) lines: VecDeque<usize>,
    /// The line that is being edited.
    pub(super) editing: Vec<u8>,
    /// Bytes that the master may read.
    pub(super) output: VecDeque<u8>,
    /// Output is held by `VSTOP`, or by ioctl `TCXONC`.
    pub(super) stopped: bool,
    /// The next character is taken literally (`VLNEXT`).
    literal: bool,
    column: usize,
}

/// What taking input has caused.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// A signal for the foreground process group.
    pub(super) signal: Option<Signal>,
    /// How many bytes were taken.
    pub(super) taken: usize,
}

impl Line {
    /// How many bytes the slave may read now.
    pub(super) fn readable(&self) -> usize {
        if self.termios.local(ICANON) {
            self.lines.front().copied().unwrap_or(0)
        } else {
            self.ready.len()
        }
    }

    /// True if a read of the slave has something to return (perhaps the end of file).
    pub(super) fn has_input(&self, min: usize) -> bool {
        if self.termios.local(ICANON) {
            !self.lines.is_empty()
        } else {
            self.ready.len() >= min.max(1)
        }
    }

    /// True if the master may write.
    pub(super) fn has_room(&self) -> bool {
        self.ready.len() + self.editing.len() < INPUT_MAX
    }

    /// Takes for the slave up to `max` bytes: at most one line in canonical mode.
    pub(super) fn read(&mut self, max: usize) -> Vec<u8> {
        if !self.termios.local(ICANON) {
            let count = max.min(self.ready.len());
            return self.ready.drain(..count).collect();
        }
        let Some(length) = self.lines.pop_front() else { return Vec::new() };
        let count = max.min(length);
        let bytes: Vec<u8> = self.ready.drain(..count.min(self.ready.len())).collect();
        if count < length {
            self.lines.push_front(length - count);
        }
        bytes
    }

    /// Takes input from the master, up to the first byte that causes a signal.
    pub(super) fn input(&mut self, bytes: &[u8]) -> Effect {
        let mut effect = Effect::default();
        for byte in bytes {
            if !self.has_room() && !self.is_control(*byte) {
                if !self.termios.local(ICANON) {
                    break;
                }
                // A full line: what comes before its end is lost, as on Linux.
                effect.taken += 1;
                continue;
            }
            effect.taken += 1;
            if let Some(signal) = self.input_byte(*byte) {
                effect.signal = Some(signal);
                break;
            }
        }
        effect
    }

    /// True for characters that are understood even when there is no room.
    fn is_control(&self, byte: u8) -> bool {
        let t = &self.termios;
        let ends = byte == b'\n' || byte == b'\r' || t.is(byte, VEOF);
        let signals = [VINTR, VQUIT, VSUSP].iter().any(|index| t.is(byte, *index));
        let edits = [VERASE, VKILL, VWERASE].iter().any(|index| t.is(byte, *index));
        (t.local(ICANON) && (ends || edits)) || (t.local(ISIG) && signals)
    }

    fn input_byte(&mut self, byte: u8) -> Option<Signal> {
        let t = self.termios;
        let mut byte = if t.input(ISTRIP) { byte & 0x7f } else { byte };
        if self.literal {
            self.literal = false;
            self.accept(byte);
            return None;
        }
        if t.local(ISIG)
            && let Some(signal) = self.signal_of(byte)
        {
            return Some(signal);
        }
        if t.input(IXON) {
            if t.is(byte, VSTOP) {
                self.stopped = true;
                return None;
            }
            if t.is(byte, VSTART) || (self.stopped && t.input(IXANY)) {
                self.stopped = false;
                if t.is(byte, VSTART) {
                    return None;
                }
            }
        }
        match byte {
            b'\r' if t.input(IGNCR) => return None,
            b'\r' if t.input(ICRNL) => byte = b'\n',
            b'\n' if t.input(INLCR) => byte = b'\r',
            _ if t.input(IUCLC) && t.local(IEXTEN) => byte = byte.to_ascii_lowercase(),
            _ => {}
        }
        if t.local(ICANON) {
            self.edit(byte);
        } else {
            self.echo(byte);
            self.ready.push_back(byte);
        }
        None
    }

    fn signal_of(&mut self, byte: u8) -> Option<Signal> {
        let t = self.termios;
        let keys = [(VINTR, Signal::SIGINT), (VQUIT, Signal::SIGQUIT), (VSUSP, Signal::SIGTSTP)];
        let (_, signal) = keys.into_iter().find(|(index, _)| t.is(byte, *index))?;
        if !t.local(NOFLSH) {
            self.ready.clear();
            self.lines.clear();
            self.editing.clear();
            self.output.clear();
        }
        self.stopped = false;
        self.echo(byte);
        Some(signal)
    }

    fn edit(&mut self, byte: u8) {
        let t = self.termios;
        if t.is(byte, VERASE) || (byte == 8 && t.character(VERASE) == 8) {
            return self.erase_character();
        }
        if t.is(byte, VKILL) {
            return self.kill_line(byte);
        }
        if t.local(IEXTEN) && t.is(byte, VWERASE) {
            return self.erase_word();
        }
        if t.local(IEXTEN) && t.is(byte, VLNEXT) {
            self.literal = true;
            if t.local(ECHO) && t.local(ECHOCTL) {
                self.put_output(b"^\x08");
            }
            return;
        }
        if t.is(byte, VEOF) {
            return self.finish_line();
        }
        if byte == b'\n' {
            if t.local(ECHO) || t.local(ECHONL) {
                self.put_processed(b'\n');
            }
            self.editing.push(byte);
            return self.finish_line();
        }
        self.accept(byte);
        if t.is(byte, VEOL) || (t.local(IEXTEN) && t.is(byte, VEOL2)) {
            self.finish_line();
        }
    }

    /// Takes an ordinary character.
    fn accept(&mut self, byte: u8) {
        self.echo(byte);
        if self.termios.local(ICANON) {
            self.editing.push(byte);
        } else {
            self.ready.push_back(byte);
        }
    }

    fn finish_line(&mut self) {
        self.lines.push_back(self.editing.len());
        self.ready.extend(self.editing.drain(..));
    }

    fn erase_character(&mut self) {
        let Some(byte) = self.pop_character() else { return };
        self.echo_erased(byte);
    }

    /// Takes the last character off the line: all its bytes with `IUTF8`.
    fn pop_character(&mut self) -> Option<u8> {
        let mut byte = self.editing.pop()?;
        while self.termios.input(IUTF8) && byte & 0xc0 == 0x80 {
            byte = self.editing.pop()?;
        }
        Some(byte)
    }

    fn echo_erased(&mut self, byte: u8) {
        if !self.termios.local(ECHO) {
            return;
        }
        if !self.termios.local(ECHOE) {
            let erase = self.termios.character(VERASE);
            return self.echo(erase);
        }
        let width = if is_shown_as_two(byte) && self.termios.local(ECHOCTL) { 2 } else { 1 };
        for _ in 0..width {
            self.put_output(b"\x08 \x08");
        }
    }

    fn erase_word(&mut self) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let mut seen_word = false;
        while let Some(last) = self.editing.last().copied() {
            if seen_word && !is_word(last) {
                break;
            }
            seen_word |= is_word(last);
            let Some(byte) = self.pop_character() else { break };
            self.echo_erased(byte);
        }
    }

    fn kill_line(&mut self, byte: u8) {
        let t = self.termios;
        if t.local(ECHO) && t.local(ECHOKE) && t.local(ECHOE) {
            while let Some(erased) = self.pop_character() {
                self.echo_erased(erased);
            }
            return;
        }
        self.editing.clear();
        self.echo(byte);
        if t.local(ECHOK) {
            self.put_processed(b'\n');
        }
    }

    /// Shows a character that was typed.
    fn echo(&mut self, byte: u8) {
        let t = self.termios;
        if !t.local(ECHO) || (byte == 0 && t.local(ICANON)) {
            return;
        }
        if t.local(ECHOCTL) && is_shown_as_two(byte) {
            self.put_output(&[b'^', byte ^ 0x40]);
        } else {
            self.put_processed(byte);
        }
    }

    fn put_output(&mut self, bytes: &[u8]) {
        if self.output.len() + bytes.len() <= OUTPUT_MAX {
            self.output.extend(bytes);
        }
    }

    fn put_processed(&mut self, byte: u8) {
        let shown = self.process(byte);
        self.put_output(&shown);
    }

    /// What the master sees of a byte that the slave writes (`OPOST` and its like).
    fn process(&mut self, byte: u8) -> Vec<u8> {
        let t = self.termios;
        if !t.output(OPOST) {
            return vec![byte];
        }
        match byte {
            b'\n' if t.output(ONLCR) => {
                self.column = 0;
                b"\r\n".to_vec()
            }
            b'\n' => {
                if t.output(ONLRET) {
                    self.column = 0;
                }
                vec![byte]
            }
            b'\r' if t.output(ONOCR) && self.column == 0 => Vec::new(),
            b'\r' if t.output(OCRNL) => vec![b'\n'],
            b'\r' => {
                self.column = 0;
                vec![byte]
            }
            b'\t' => {
                let spaces = 8 - self.column % 8;
                self.column += spaces;
                if t.output(TABDLY) { vec![b' '; spaces] } else { vec![byte] }
            }
            8 => {
                self.column = self.column.saturating_sub(1);
                vec![byte]
            }
            byte => {
                self.column += usize::from(byte >= b' ' && byte & 0xc0 != 0x80);
                vec![if t.output(OLCUC) { byte.to_ascii_uppercase() } else { byte }]
            }
        }
    }

    /// Takes what the slave writes, as far as there is room; returns how much.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        if self.stopped {
            return 0;
        }
        let mut taken = 0;
        for byte in bytes {
            // The longest form of a byte is a tab as 8 spaces.
            if self.output.len() + 8 > OUTPUT_MAX {
                break;
            }
            let shown = self.process(*byte);
            self.output.extend(shown);
            taken += 1;
        }
        taken
    }

    /// Sets the attributes. What was typed stays readable when canonical mode goes or comes.
    pub(super) fn set_termios(&mut self, new: Termios) {
        let (old, was) = (self.termios, self.termios.local(ICANON));
        self.termios = new;
        if was && !new.local(ICANON) {
            self.lines.clear();
            self.ready.extend(self.editing.drain(..));
        } else if !was && new.local(ICANON) && !self.ready.is_empty() {
            self.lines.push_back(self.ready.len());
        }
        if old.input(IXON) && !new.input(IXON) {
            self.stopped = false;
        }
    }

    /// Throws away what was typed.
    pub(super) fn flush_input(&mut self) {
        self.ready.clear();
        self.lines.clear();
        self.editing.clear();
    }
}

/// Control characters are shown as `^X`, except tab and newline.
fn is_shown_as_two(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t' && byte != b'\n') || byte == 127
}
