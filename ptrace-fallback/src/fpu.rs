//! FPU images: their sizes on this CPU, and what may be loaded from one.

use std::{
    arch::x86_64::{__cpuid, __cpuid_count},
    sync::OnceLock,
};

use abi::FpuState;

use crate::tracee::{Gone, Tracee};

/// Legacy FXSAVE area and XSAVE header (SDM vol. 1, 10.5.1 and 13.4.2).
const LEGACY_BYTES: usize = 576;
/// Offsets in an image: MXCSR and its mask, the features the host saves, `XSTATE_BV`, header end.
const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;
const HOST_FEATURES: usize = 464;
const XSTATE_BV: usize = 512;
/// AMX: its state is there only for programs that asked the host (`arch_prctl`), which a stub
/// never does.
const AMX: u64 = 3 << 17;
/// More than any image.
const PROBE_BYTES: usize = 64 * 1024;

/// What the host's images look like.
#[derive(Debug)]
struct HostImage {
    bytes: usize,
    features: u64,
    mxcsr_mask: u32,
}

/// Sizes and limits of FPU images.
#[derive(Debug)]
pub(crate) struct Fpu {
    size_bytes: usize,
    host: OnceLock<HostImage>,
}

impl Fpu {
    pub(crate) fn new() -> Self {
        Self { size_bytes: image_bytes(), host: OnceLock::new() }
    }

    /// Bytes of an image as the Sentry keeps it.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Reads the registers of a stopped tracee.
    pub(crate) fn save(&self, tracee: Tracee) -> Result<FpuState, Gone> {
        let mut state = FpuState::initial(self.size_bytes);
        tracee.read_fpu(state.as_bytes_mut())?;
        Ok(state)
    }

    /// Loads the registers of a stopped tracee. What the CPU or the host would refuse in `state`
    /// is left out, so that this can't fail half-way.
    pub(crate) fn load(&self, tracee: Tracee, state: &FpuState) -> Result<(), Gone> {
        let host = self.host(tracee)?;
        // The host takes only whole images.
        let mut image = vec![0; host.bytes];
        sanitise(&mut image, state.as_bytes(), host);
        if tracee.write_fpu(&mut image)? {
            return Ok(());
        }
        image.fill(0);
        sanitise(&mut image, FpuState::default().as_bytes(), host);
        if tracee.write_fpu(&mut image)? { Ok(()) } else { Err(Gone) }
    }

    fn host(&self, tracee: Tracee) -> Result<&HostImage, Gone> {
        if let Some(host) = self.host.get() {
            return Ok(host);
        }
        let mut image = vec![0; PROBE_BYTES];
        let bytes = tracee.read_fpu(&mut image)?;
        let features = read_u64(&image, HOST_FEATURES);
        // 0 means the default mask (SDM vol. 1, 11.6.6).
        let mask = read_u32(&image, MXCSR_MASK);
        let mxcsr_mask = if mask == 0 { 0xffbf } else { mask };
        Ok(self.host.get_or_init(|| HostImage { bytes, features, mxcsr_mask }))
    }
}

fn sanitise(image: &mut [u8], from: &[u8], host: &HostImage) {
    let len = from.len().min(image.len());
    if let (Some(to), Some(from)) = (image.get_mut(..len), from.get(..len)) {
        to.copy_from_slice(from);
    }
    let mxcsr = read_u32(image, MXCSR) & host.mxcsr_mask;
    write(image, MXCSR, &mxcsr.to_le_bytes());
    // Only standard format: XCOMP_BV and the reserved words are 0.
    let present = read_u64(image, XSTATE_BV) & host.features & !AMX;
    write(image, XSTATE_BV, &[0; 64]);
    write(image, XSTATE_BV, &present.to_le_bytes());
}

fn read_u32(image: &[u8], at: usize) -> u32 {
    let bytes = image.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_le_bytes(bytes.unwrap_or_default())
}

fn read_u64(image: &[u8], at: usize) -> u64 {
    let bytes = image.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    u64::from_le_bytes(bytes.unwrap_or_default())
}

fn write(image: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = image.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

/// The end of the last component that programs get without asking (SDM vol. 2, CPUID leaf 0xd).
fn image_bytes() -> usize {
    let osxsave = __cpuid(1).ecx & (1 << 27) != 0;
    if !osxsave {
        return LEGACY_BYTES;
    }
    let enabled = __cpuid_count(0xd, 0);
    let enabled = u64::from(enabled.eax) | u64::from(enabled.edx) << 32;
    (2..63)
        .filter(|bit| enabled & !AMX & (1 << bit) != 0)
        .map(|bit| __cpuid_count(0xd, bit))
        .filter(|component| component.ecx & 1 == 0)
        .map(|component| usize::try_from(component.ebx + component.eax).unwrap_or(0))
        .fold(LEGACY_BYTES, usize::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_image_loses_what_the_host_would_refuse() {
        let host = HostImage { bytes: 2048, features: 7, mxcsr_mask: 0xffff };
        let mut image = vec![0; 2048];
        sanitise(&mut image, &[0xff; 1024], &host);
        assert_eq!(read_u32(&image, MXCSR), 0xffff);
        assert_eq!(read_u64(&image, XSTATE_BV), 7);
        assert_eq!(image[XSTATE_BV + 8..XSTATE_BV + 64], [0; 56]);
    }
}
