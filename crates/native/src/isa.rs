//! Which instructions of the processor a kernel is compiled for.
//!
//! There is one source for all of them: plain loops over fixed arrays, which the compiler turns into the vector instructions
//! that it is allowed to use. What is rounded, and in which order, stands in the source, so every version gives the same bits.

/// A set of instructions that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// What every processor of the target has: on 64-bit ARM that is NEON with multiply-add; on x86-64 it is SSE2, where each
    /// multiply-add is a call into the system's library, and slow.
    Baseline,
    /// 256-bit vectors with multiply-add: x86-64 since 2013.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512-bit vectors, and twice as many registers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// What every processor of the target has.
    pub const BASELINE: Self = Self(Set::Baseline);

    /// All that this processor has, the fastest last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "other architectures have one set")]
        let mut sets = vec![Self::BASELINE];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("bmi1") {
                sets.push(Self(Set::Avx2));
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    sets.push(Self(Set::Avx512));
                }
            }
        }
        sets
    }

    /// The fastest that this processor has.
    pub fn best() -> Self {
        *Self::available().last().expect("the baseline at least")
    }

    /// The name for people.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Baseline if cfg!(target_arch = "aarch64") => "NEON",
            Set::Baseline => "baseline",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "AVX-512",
        }
    }

    /// Whether every multiply-add is a call into the system's library, many times as slow.
    pub fn is_slow(self) -> bool {
        self == Self::BASELINE && !cfg!(target_arch = "aarch64") && !cfg!(target_feature = "fma")
    }

    pub(crate) fn has_large_blocks(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => true,
            _ => false,
        }
    }

    pub(crate) fn set(self) -> Set {
        self.0
    }
}

/// Makes a function that takes an [`Isa`] before its other parameters, and is compiled once for each.
///
/// Its const parameter says whether there are registers enough for large blocks of sums. Blocks decide which results are
/// computed at the same time, never the order of a result's own terms.
macro_rules! kernel {
    ($(#[$attribute:meta])* $vis:vis fn $name:ident<const $large:ident: bool>($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        #[allow(unsafe_code, reason = "a function compiled for more than the baseline may be called only where it runs")]
        $vis fn $name(isa: $crate::Isa, $($arg: $type),*) {
            #[inline(always)]
            fn kernel<const $large: bool>($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1")]
            fn avx2($($arg: $type),*) {
                kernel::<false>($($arg),*);
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($arg: $type),*) {
                kernel::<true>($($arg),*);
            }

            match isa.set() {
                $crate::isa::Set::Baseline => kernel::<false>($($arg),*),
                // SAFETY: an `Isa` of this kind comes out of `Isa::available` only, once the processor was seen to have
                // these very features.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Set::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Set::Avx512 => unsafe { avx512($($arg),*) },
            }
        }
    };
}

pub(crate) use kernel;
