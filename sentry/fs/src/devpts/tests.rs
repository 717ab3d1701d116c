use abi::Signal;

use super::{
    line::Line,
    termios::{ECHO, ICANON, Termios},
};

fn typed(bytes: &[u8]) -> Line {
    let mut line = Line::default();
    assert_eq!(line.input(bytes).taken, bytes.len());
    line
}

fn shown(line: &Line) -> Vec<u8> {
    line.output.iter().copied().collect()
}

#[test]
fn a_line_is_readable_once_it_ends_and_is_echoed() {
    let mut line = typed(b"ab");
    assert!(!line.has_input(1));
    line.input(b"\r");
    assert_eq!(line.read(100), b"ab\n");
    assert_eq!(shown(&line), b"ab\r\n");
}

#[test]
fn one_read_gives_one_line_and_short_reads_go_on_in_it() {
    let mut line = typed(b"one\ntwo\n");
    assert_eq!(line.read(2), b"on");
    assert_eq!(line.read(100), b"e\n");
    assert_eq!(line.read(100), b"two\n");
}

#[test]
fn erase_word_erase_and_kill_edit_the_line() {
    let mut line = typed(b"abc\x7f\x7fx two\x17three\n");
    assert_eq!(line.read(100), b"ax three\n");
    let mut line = typed(b"gone\x15kept\n");
    assert_eq!(line.read(100), b"kept\n");
}

#[test]
fn end_of_file_ends_a_line_without_a_byte() {
    let mut line = typed(b"\x04");
    assert!(line.has_input(1));
    assert_eq!(line.read(100), b"");
    let mut line = typed(b"ab\x04");
    assert_eq!(line.read(100), b"ab");
    assert!(!line.has_input(1));
}

#[test]
fn interrupt_throws_the_line_away_and_says_which_signal() {
    let mut line = Line::default();
    let effect = line.input(b"ab\x03cd");
    assert_eq!((effect.signal, effect.taken), (Some(Signal::SIGINT), 3));
    line.input(b"ok\n");
    assert_eq!(line.read(100), b"ok\n");
    assert_eq!(line.input(b"\x1a").signal, Some(Signal::SIGTSTP));
}

#[test]
fn raw_mode_gives_each_byte_at_once() {
    let mut line = Line::default();
    let mut raw = Termios::default();
    raw.lflag &= !(ICANON | ECHO);
    raw.iflag = 0;
    line.set_termios(raw);
    line.input(b"a\r");
    assert_eq!(line.read(100), b"a\r");
    assert_eq!(shown(&line), b"");
}

#[test]
fn what_was_typed_survives_the_change_to_raw_mode() {
    let mut line = typed(b"ab");
    let mut raw = Termios::default();
    raw.lflag &= !ICANON;
    line.set_termios(raw);
    assert_eq!(line.read(100), b"ab");
}

#[test]
fn output_gets_carriage_returns_and_stops_on_demand() {
    let mut line = Line::default();
    assert_eq!(line.write(b"a\nb"), 3);
    assert_eq!(shown(&line), b"a\r\nb");
    line.input(b"\x13");
    assert_eq!(line.write(b"c"), 0);
    line.input(b"\x11");
    assert_eq!(line.write(b"c"), 1);
}

#[test]
fn a_full_line_takes_no_more_but_still_ends() {
    let mut line = Line::default();
    let flood = vec![b'x'; 3 * super::line::INPUT_MAX];
    assert_eq!(line.input(&flood).taken, flood.len());
    line.input(b"\n");
    assert_eq!(line.read(usize::MAX).len(), super::line::INPUT_MAX + 1);
}

#[test]
fn attributes_survive_their_bytes() {
    let termios = Termios::default();
    assert_eq!(Termios::from_bytes(&termios.to_bytes()), termios);
}
