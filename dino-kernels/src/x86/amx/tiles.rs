//! The tiles of a thread: permission, shape, and the instructions that are needed of them.
//!
//! Eight tiles, always of these shapes: 0 to 3 hold sums (`tokens` × 16 words), 4 and 5 the input (`tokens` × 16 bytes),
//! 6 and 7 weights (4 words of 16 rows).

pub(super) mod int8;

use std::arch::asm;
use std::sync::OnceLock;

/// Whether the processor has tiles with products of bytes, and the system lets this process use them.
///
/// Linux wants to be asked, for the state of a thread grows by 8 KiB; permission once given holds for all threads.
pub(crate) fn are_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_tiles() && is_permitted())
}

fn has_tiles() -> bool {
    const TILES_AND_BYTES: u32 = 1 << 24 | 1 << 25;
    let leaves = std::arch::x86_64::__cpuid(0).eax;
    leaves >= 7 && std::arch::x86_64::__cpuid_count(7, 0).edx & TILES_AND_BYTES == TILES_AND_BYTES
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

/// Gives the tiles their shapes, for `tokens` of 1 to 16, and zeros them.
///
/// # Safety
/// [`are_available`]. The thread must [`release`] the tiles in the end.
#[inline]
pub(super) unsafe fn configure(tokens: usize) {
    assert!((1..=16).contains(&tokens), "{tokens} rows of a tile");
    let tokens = tokens as u8;
    let row_bytes = [64, 64, 64, 64, 16, 16, 64, 64];
    let rows = [tokens, tokens, tokens, tokens, tokens, tokens, 4, 4];
    // SAFETY: by the contract.
    unsafe { Config::new((row_bytes, rows)).load() };
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

/// Loads both halves of 32 columns of the input into tiles 4 and 5.
///
/// # Safety
/// The tiles are configured; at `codes`, and at as many strides from there as the tiles have tokens, lie 32 bytes.
#[inline(always)]
pub(super) unsafe fn load_input(codes: *const i8, stride: usize) {
    // SAFETY: by the contract.
    unsafe {
        asm!(
            "tileloadd tmm4, [{codes} + {stride}]",
            "tileloadd tmm5, [{codes} + {stride} + 16]",
            codes = in(reg) codes,
            stride = in(reg) stride,
            options(nostack, readonly)
        );
    }
}

/// Multiplies the input by 32 columns of 16 rows of weights and stores the sums of both halves, `[2][16][16]`.
///
/// `PAIR` says which tiles hold the sums, so that two groups need not wait for each other.
///
/// # Safety
/// The tiles are configured and hold an input; `codes` is `[8][64]` bytes, `sums` has room.
#[inline(always)]
pub(super) unsafe fn multiply<const PAIR: usize>(codes: *const u8, sums: *mut i32) {
    // SAFETY: by the contract.
    unsafe {
        if PAIR == 0 {
            asm!(
                "tileloadd tmm6, [{codes} + {stride}]",
                "tilezero tmm0",
                "tdpbssd tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{codes} + {stride} + 256]",
                "tilezero tmm1",
                "tdpbssd tmm1, tmm5, tmm7",
                "tilestored [{sums} + {stride}], tmm0",
                "tilestored [{sums} + {stride} + 1024], tmm1",
                codes = in(reg) codes,
                sums = in(reg) sums,
                stride = in(reg) 64_usize,
                options(nostack)
            );
        } else {
            asm!(
                "tileloadd tmm6, [{codes} + {stride}]",
                "tilezero tmm2",
                "tdpbssd tmm2, tmm4, tmm6",
                "tileloadd tmm7, [{codes} + {stride} + 256]",
                "tilezero tmm3",
                "tdpbssd tmm3, tmm5, tmm7",
                "tilestored [{sums} + {stride}], tmm2",
                "tilestored [{sums} + {stride} + 1024], tmm3",
                codes = in(reg) codes,
                sums = in(reg) sums,
                stride = in(reg) 64_usize,
                options(nostack)
            );
        }
    }
}
