//! The check that this CPU has what the program was compiled for: x86-64-v3 (x86-64 psABI, table 3.1).
//! It asks CPUID itself: `is_x86_feature_detected!` answers "yes" unasked for features that the compiler was told to use.

/// The register in which a feature's bit is found.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
enum Register {
    /// Leaf 1, ECX.
    Leaf1Ecx,
    /// Leaf 7, subleaf 0, EBX.
    Leaf7Ebx,
    /// Leaf 0x8000_0001, ECX.
    ExtendedEcx,
}

/// Each feature of x86-64-v2 and v3 beyond the 64-bit baseline, named as in `/proc/cpuinfo`, with its bit.
#[cfg(target_arch = "x86_64")]
const FEATURES: [(&str, Register, u32); 16] = [
    ("pni", Register::Leaf1Ecx, 0),
    ("ssse3", Register::Leaf1Ecx, 9),
    ("fma", Register::Leaf1Ecx, 12),
    ("cx16", Register::Leaf1Ecx, 13),
    ("sse4_1", Register::Leaf1Ecx, 19),
    ("sse4_2", Register::Leaf1Ecx, 20),
    ("movbe", Register::Leaf1Ecx, 22),
    ("popcnt", Register::Leaf1Ecx, 23),
    ("xsave", Register::Leaf1Ecx, 26),
    ("avx", Register::Leaf1Ecx, 28),
    ("f16c", Register::Leaf1Ecx, 29),
    ("bmi1", Register::Leaf7Ebx, 3),
    ("avx2", Register::Leaf7Ebx, 5),
    ("bmi2", Register::Leaf7Ebx, 8),
    ("lahf_lm", Register::ExtendedEcx, 0),
    ("abm", Register::ExtendedEcx, 5),
];

/// Leaf 1, ECX: the operating system has enabled XSAVE, so XGETBV may be executed.
#[cfg(target_arch = "x86_64")]
const OSXSAVE_BIT: u32 = 27;

/// XCR0: the operating system keeps the SSE (bit 1) and AVX (bit 2) registers over a task switch.
#[cfg(target_arch = "x86_64")]
const XCR0_AVX_MASK: u64 = 0b110;

/// What CPUID and XGETBV answered.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
struct Answers {
    leaf1_ecx: u32,
    leaf7_ebx: u32,
    extended_ecx: u32,
    xcr0: u64,
}

#[cfg(target_arch = "x86_64")]
impl Answers {
    /// The names of what is missing for x86-64-v3.
    fn missing(&self) -> Vec<&'static str> {
        let absent = |register: Register, bit: u32| {
            let bits = match register {
                Register::Leaf1Ecx => self.leaf1_ecx,
                Register::Leaf7Ebx => self.leaf7_ebx,
                Register::ExtendedEcx => self.extended_ecx,
            };
            bits & (1 << bit) == 0
        };
        let mut missing: Vec<_> = FEATURES
            .iter()
            .filter(|(_, register, bit)| absent(*register, *bit))
            .map(|(name, _, _)| *name)
            .collect();
        if self.xcr0 & XCR0_AVX_MASK != XCR0_AVX_MASK {
            missing.push("AVX state kept by the operating system");
        }
        missing
    }
}

/// Checks that this CPU can run the program, which is compiled for x86-64-v3 on that architecture.
/// To be called first in `main`: later may be after the first instruction that this CPU does not know.
///
/// # Errors
/// A sentence that names the missing features.
pub fn check() -> Result<(), String> {
    #[cfg(target_arch = "x86_64")]
    {
        let missing = ask().missing();
        if !missing.is_empty() {
            return Err(format!(
                "this CPU lacks {}: the program is built for x86-64-v3 (Intel Haswell, AMD Zen, or later)",
                missing.join(", ")
            ));
        }
    }
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn ask() -> Answers {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    let leaf_max = __cpuid(0).eax;
    let extended_leaf_max = __cpuid(0x8000_0000).eax;
    let leaf1_ecx = __cpuid(1).ecx;
    Answers {
        leaf1_ecx,
        leaf7_ebx: if leaf_max >= 7 { __cpuid_count(7, 0).ebx } else { 0 },
        extended_ecx: if extended_leaf_max >= 0x8000_0001 { __cpuid(0x8000_0001).ecx } else { 0 },
        xcr0: if leaf1_ecx & (1 << OSXSAVE_BIT) == 0 { 0 } else { xcr0() },
    }
}

/// Reads XCR0; the caller has seen OSXSAVE.
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "XGETBV is an unsafe intrinsic; its condition is checked by the caller"
)]
fn xcr0() -> u64 {
    #[target_feature(enable = "xsave")]
    fn read() -> u64 {
        // SAFETY: XCR0 always exists where XSAVE does, and reading it has no effect.
        unsafe { std::arch::x86_64::_xgetbv(0) }
    }
    // SAFETY: `ask` calls this only when CPUID reports OSXSAVE, which implies XSAVE and allows XGETBV.
    unsafe { read() }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::{Answers, FEATURES, Register, ask, check};

    const ALL: Answers = Answers { leaf1_ecx: !0, leaf7_ebx: !0, extended_ecx: !0, xcr0: 0b111 };

    /// The kernel's own reading of CPUID is the oracle.
    #[test]
    #[cfg(target_os = "linux")]
    fn agrees_with_the_kernel() {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags = text.lines().find(|line| line.starts_with("flags")).unwrap();
        let flags: Vec<_> = flags.split_whitespace().collect();
        let missing = ask().missing();
        for (name, _, _) in FEATURES {
            assert_eq!(flags.contains(&name), !missing.contains(&name), "{name}");
        }
        assert_eq!(check().is_ok(), missing.is_empty());
    }

    #[test]
    fn each_missing_feature_is_named() {
        assert!(ALL.missing().is_empty());
        for (name, register, bit) in FEATURES {
            let mut answers = ALL;
            match register {
                Register::Leaf1Ecx => answers.leaf1_ecx &= !(1 << bit),
                Register::Leaf7Ebx => answers.leaf7_ebx &= !(1 << bit),
                Register::ExtendedEcx => answers.extended_ecx &= !(1 << bit),
            }
            assert_eq!(answers.missing(), [name]);
        }
    }

    #[test]
    fn an_operating_system_without_avx_state_is_refused() {
        let answers = Answers { xcr0: 0b011, ..ALL };
        assert_eq!(answers.missing().len(), 1);
    }
}
