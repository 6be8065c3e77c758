//! What the processor says of itself.

use std::arch::x86_64::__cpuid;

/// Its name, and family, model and stepping as `cpuid` packs them.
pub(crate) fn processor() -> String {
    const NAMES: u32 = 0x8000_0000;
    let last = __cpuid(NAMES).eax;
    let name = (NAMES + 2..=NAMES + 4).take_while(|&leaf| leaf <= last);
    let bytes: Vec<u8> = name
        .map(__cpuid)
        .flat_map(|told| [told.eax, told.ebx, told.ecx, told.edx])
        .flat_map(u32::to_le_bytes)
        .take_while(|&byte| byte != 0)
        .collect();
    let name = String::from_utf8_lossy(&bytes);
    format!("{} {:x}", name.trim(), __cpuid(1).eax)
}
