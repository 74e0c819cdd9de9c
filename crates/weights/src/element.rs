//! The types of number that weights come in. Networks compute in f32, so that is what all of them become.

use safetensors::Dtype;

use crate::Error;

/// A floating-point type, little-endian.
pub(crate) struct Element {
    /// In PyTorch.
    pub(crate) name: &'static str,
    /// Of a storage in a PyTorch file.
    pub(crate) class: &'static str,
    /// In a safetensors file.
    pub(crate) dtype: Dtype,
    /// In bytes.
    pub(crate) size: usize,
    /// All numbers in so many bytes, each as the f32 nearest to it; what is larger than any f32 becomes infinite.
    pub(crate) decode: fn(&[u8]) -> Vec<f32>,
}

static ELEMENTS: [Element; 4] = [
    Element { name: "bfloat16", class: "BFloat16Storage", dtype: Dtype::BF16, size: 2, decode: |b| each(b, from_bf16) },
    Element { name: "float16", class: "HalfStorage", dtype: Dtype::F16, size: 2, decode: |b| each(b, from_f16) },
    Element {
        name: "float32",
        class: "FloatStorage",
        dtype: Dtype::F32,
        size: 4,
        decode: |b| each(b, f32::from_le_bytes),
    },
    Element { name: "float64", class: "DoubleStorage", dtype: Dtype::F64, size: 8, decode: |b| each(b, from_f64) },
];

impl Element {
    /// The type of a tensor's numbers, which the file calls `found`.
    pub(crate) fn of(tensor: &str, found: &str, is_it: impl Fn(&Self) -> bool) -> Result<&'static Self, Error> {
        ELEMENTS.iter().find(|element| is_it(element)).ok_or_else(|| {
            Error::Other(format!(
                "the tensor `{tensor}` has elements of type {found} instead of float32: convert it with `.float()` first"
            ))
        })
    }
}

fn each<const N: usize>(bytes: &[u8], decode: fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| decode(bytes)).collect()
}

fn from_bf16(bytes: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
}

fn from_f64(bytes: [u8; 8]) -> f32 {
    f64::from_le_bytes(bytes) as f32
}

/// The number that these bytes are in IEEE 754's binary16: a sign, 5 bits of exponent with a bias of 15, 10 of fraction.
fn from_f16(bytes: [u8; 2]) -> f32 {
    /// 2¹¹², since an f32's exponent has a bias of 127.
    const BIAS: f32 = f32::from_bits((127 + 127 - 15) << 23);
    const EXPONENT: u16 = 0x7c00;
    let bits = u16::from_le_bytes(bytes);
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

    fn decode(name: &str, bytes: &[u8]) -> Vec<f32> {
        let element = ELEMENTS.iter().find(|element| element.name == name).unwrap();
        (element.decode)(bytes)
    }

    #[test]
    fn every_type_becomes_the_same_number_in_f32() {
        // From PyTorch: 1, -2.5, 0 and the largest, smallest normal and smallest number above zero of each.
        let f16 = [0x3c00u16, 0xc100, 0x8000, 0x7bff, 0x0400, 0x0001].map(u16::to_le_bytes).concat();
        let expected = [1.0, -2.5, -0.0, 65504.0, 6.103_515_6e-5, 5.960_464_5e-8];
        assert_eq!(decode("float16", &f16), expected);
        assert!(decode("float16", &f16)[2].is_sign_negative());

        let bf16 = [0x3f80u16, 0xc020, 0x0001, 0x7f7f].map(u16::to_le_bytes).concat();
        assert_eq!(decode("bfloat16", &bf16), [1.0, -2.5, 9.183_55e-41, 3.389_531_4e38]);

        let f64 = [0.1f64, -2.5, 1e-50, 1e300].map(f64::to_le_bytes).concat();
        assert_eq!(decode("float64", &f64), [0.1f32, -2.5, 0.0, f32::INFINITY]);
        assert_eq!(decode("float32", &0.1f32.to_le_bytes()), [0.1f32]);
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let numbers = decode("float16", &[0x7c00u16, 0xfc00, 0x7e00].map(u16::to_le_bytes).concat());
        assert_eq!(numbers[..2], [f32::INFINITY, f32::NEG_INFINITY]);
        assert!(numbers[2].is_nan());
    }
}
