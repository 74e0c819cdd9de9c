//! The types of number that weights come in. Networks compute in f32, so that is what all of them become.

/// A floating-point type, little-endian.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Element {
    BF16,
    F16,
    F32,
    F64,
}

impl Element {
    /// The type's name in PyTorch.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BF16 => "bfloat16",
            Self::F16 => "float16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// In bytes.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::BF16 | Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// All numbers in `bytes`, each as the f32 nearest to it; what is larger than any f32 becomes infinite.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|&bytes| decode(bytes)).collect()
        }
        match self {
            Self::BF16 => each(bytes, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)),
            Self::F16 => each(bytes, |bytes| from_f16(u16::from_le_bytes(bytes))),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F64 => each(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        }
    }
}

/// The number that these bits are in IEEE 754's binary16: a sign, 5 bits of exponent with a bias of 15, 10 of fraction.
fn from_f16(bits: u16) -> f32 {
    /// 2¹¹², since an f32's exponent has a bias of 127.
    const BIAS: f32 = f32::from_bits((127 + 127 - 15) << 23);
    const EXPONENT: u16 = 0x7c00;
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13);
    let magnitude = if bits & EXPONENT == EXPONENT {
        f32::from_bits(magnitude.to_bits() | f32::INFINITY.to_bits()) // Infinite, or not a number.
    } else {
        magnitude * BIAS
    };
    f32::from_bits(magnitude.to_bits() | (u32::from(bits & 0x8000) << 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_becomes_the_same_number_in_f32() {
        // From PyTorch: 1, -2.5, 0 and the largest, smallest normal and smallest number above zero of each.
        let f16 = [0x3c00u16, 0xc100, 0x8000, 0x7bff, 0x0400, 0x0001].map(u16::to_le_bytes).concat();
        let expected = [1.0, -2.5, -0.0, 65504.0, 6.103_515_6e-5, 5.960_464_5e-8];
        assert_eq!(Element::F16.decode(&f16), expected);
        assert!(Element::F16.decode(&f16)[2].is_sign_negative());

        let bf16 = [0x3f80u16, 0xc020, 0x0001, 0x7f7f].map(u16::to_le_bytes).concat();
        assert_eq!(Element::BF16.decode(&bf16), [1.0, -2.5, 9.183_55e-41, 3.389_531_4e38]);

        let f64 = [0.1f64, -2.5, 1e-50, 1e300].map(f64::to_le_bytes).concat();
        assert_eq!(Element::F64.decode(&f64), [0.1f32, -2.5, 0.0, f32::INFINITY]);
        assert_eq!(Element::F32.decode(&0.1f32.to_le_bytes()), [0.1f32]);
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let numbers = Element::F16.decode(&[0x7c00u16, 0xfc00, 0x7e00].map(u16::to_le_bytes).concat());
        assert_eq!(numbers[..2], [f32::INFINITY, f32::NEG_INFINITY]);
        assert!(numbers[2].is_nan());
    }
}
