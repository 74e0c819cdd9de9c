//! What a core can do at best: multiply-adds between registers. Benchmarks state their results as a share of it.

use crate::{Isa, isa::kernel};

/// Sums that do not wait for each other, of a full vector each.
const SUMS: usize = 10;
const TIMES: usize = 10_000;

/// Does some multiply-adds, and returns how many, and what came of them lest it be left out.
pub fn multiply_adds(isa: Isa) -> (u64, f32) {
    let mut results = [0.0; SUMS];
    multiply(isa, &mut results);
    let lanes = if isa.has_large_blocks() { 16 } else { 8 };
    ((SUMS * TIMES * lanes) as u64, results.iter().sum())
}

kernel! {
    fn multiply<const LARGE: bool>(results: &mut [f32; SUMS]) {
        if LARGE {
            accumulate::<16>(results);
        } else {
            accumulate::<8>(results);
        }
    }
}

#[inline(always)]
fn accumulate<const N: usize>(results: &mut [f32; SUMS]) {
    // The compiler must not know what they are.
    let (factors, terms) = std::hint::black_box(([0.5f32; N], [1.0f32; N]));
    let mut sums = [[0.0f32; N]; SUMS];
    for _ in 0..TIMES {
        for sum in &mut sums {
            for ((value, factor), term) in sum.iter_mut().zip(&factors).zip(&terms) {
                *value = value.mul_add(*factor, *term);
            }
        }
    }
    for (result, sum) in results.iter_mut().zip(&sums) {
        *result = sum.iter().sum();
    }
}
