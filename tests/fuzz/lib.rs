#![doc = include_str!("README.md")]
#![forbid(unsafe_code)]

/// What a decoder must do with any bytes: no panic, and what it accepts it can say again.
///
/// # Panics
///
/// When an accepted frame does not come back the same.
pub fn p9_frame(bytes: &[u8]) {
    if let Ok((tag, message)) = p9::TMessage::decode(bytes) {
        let mut again = Vec::new();
        message.encode(tag, &mut again).expect("what was decoded can be encoded");
        assert_eq!(p9::TMessage::decode(&again), Ok((tag, message)), "{bytes:?}");
    }
    if let Ok((tag, message)) = p9::RMessage::decode(bytes) {
        let mut again = Vec::new();
        message.encode(tag, &mut again).expect("what was decoded can be encoded");
        assert_eq!(p9::RMessage::decode(&again), Ok((tag, message)), "{bytes:?}");
    }
    // A frame's length is believed only between a header and the agreed size.
    if let Ok(Some(len)) = p9::frame_size(bytes, 8192) {
        assert!((p9::HEADER..=8192).contains(&len), "{bytes:?}");
    }
}

/// Random numbers, the same in every run (a splitmix64 sequence).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Starts a sequence.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit.max(1) as u64).unwrap_or(0)
    }

    /// A byte: often one that ends or doubles something.
    pub fn byte(&mut self) -> u8 {
        match self.below(8) {
            0 => 0,
            1 => 0xff,
            2 => 0x80,
            _ => self.roll().to_le_bytes()[0],
        }
    }
}
