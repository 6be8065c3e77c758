//! The tiles of a thread: permission and shapes; what is done with them is in the room of each use.

pub(super) mod bf16;
pub(super) mod int8;

use std::arch::asm;
use std::sync::OnceLock;

/// Whether the processor has tiles with products of bytes and of bf16, and the system lets this process use them.
///
/// Linux wants to be asked, for the state of a thread grows by 8 KiB; permission once given holds for all threads.
pub(crate) fn are_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_tiles() && is_permitted())
}

fn has_tiles() -> bool {
    const BF16_TILES_BYTES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    let leaves = std::arch::x86_64::__cpuid(0).eax;
    leaves >= 7 && std::arch::x86_64::__cpuid_count(7, 0).edx & BF16_TILES_BYTES == BF16_TILES_BYTES
}

#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: u64 = 0x1023;
    const TILE_DATA: u64 = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call that reads no memory of this process; the kernel keeps all but these three registers.
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack)
        );
    }
    result == 0
}

/// Other systems are not known to ask.
#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// What `ldtilecfg` reads (Intel SDM, volume 1, section 18.2).
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// Eight tiles, with the bytes of a row and the rows of each.
    fn new((row_bytes, rows): ([u16; 8], [u8; 8])) -> Self {
        let mut config = Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        config.row_bytes[..8].copy_from_slice(&row_bytes);
        config.rows[..8].copy_from_slice(&rows);
        config
    }

    /// # Safety
    /// [`are_available`]; the shapes are ones that tiles can have.
    #[inline]
    unsafe fn load(&self) {
        // SAFETY: by the contract.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const *self, options(nostack, readonly)) };
    }
}

/// Gives the tiles back, so that switching threads need not save them.
///
/// # Safety
/// [`are_available`].
#[inline]
pub(super) unsafe fn release() {
    // SAFETY: by the contract.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}
