//! The few operations that unpacking needs of a register.

/// A register of [`Register::LANES`] four-byte words, one for each row of a group.
///
/// This is no vector language: it holds what turns stored codes into bytes and heads into f32, so that each
/// format is unpacked by one piece of code on every instruction set. Kernels themselves use intrinsics.
pub(crate) trait Register: Copy {
    /// Words in a register.
    const LANES: usize;
    /// As many f32.
    type Floats: Copy;

    /// Words from any address.
    ///
    /// # Safety
    /// Of this and all other methods: the instruction set is enabled where the caller runs. Pointers point to
    /// `LANES` numbers of the size that the method's name says.
    unsafe fn load(from: *const u8) -> Self;
    /// `word` in all lanes.
    unsafe fn splat(word: u32) -> Self;
    unsafe fn and(self, other: Self) -> Self;
    unsafe fn or(self, other: Self) -> Self;
    /// Each 16-bit half moved down by `bits`.
    unsafe fn down(self, bits: usize) -> Self;
    /// Each 16-bit half moved up by `bits`.
    unsafe fn up(self, bits: usize) -> Self;
    /// Byte `byte` of each word, four times.
    unsafe fn spread(self, byte: usize) -> Self;
    /// Each byte all ones where it has all bits of `mask`, else zero.
    unsafe fn has(self, mask: Self) -> Self;
    /// Each byte, below 16, as an index into `table`.
    unsafe fn look_up(self, table: &[i8; 16]) -> Self;

    /// f16 numbers.
    unsafe fn halves(from: *const u8) -> Self::Floats;
    /// Signed bytes.
    unsafe fn signed(from: *const u8) -> Self::Floats;
    /// Unsigned bytes, shifted down by `bits`, of which `mask` is kept.
    unsafe fn unsigned(from: *const u8, bits: u32, mask: u32) -> Self::Floats;
    /// Half of the powers of two whose exponents are these bytes, biased by 127.
    unsafe fn half_powers(from: *const u8) -> Self::Floats;
    unsafe fn times(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn float(x: f32) -> Self::Floats;
}
