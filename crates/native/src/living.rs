//! Sets of what is not zero, and the one loop that adds up what is in them.
//!
//! ReLU stops about half of all numbers, and pooling passes a gradient on to one position of four. A set is the bits of a
//! `u64`: the channels of a pooling window, the windows of a channel, or the samples of a slice.

/// The numbers of those that live, from bit 0.
pub(crate) type Living = u64;

/// The members of a set, in ascending order.
#[inline(always)]
pub(crate) fn members(living: Living) -> impl Iterator<Item = usize> + Clone {
    let mut rest = living;
    std::iter::from_fn(move || {
        let first = rest.trailing_zeros() as usize;
        (rest != 0).then(|| {
            rest &= rest - 1;
            first
        })
    })
}

/// `sum += Σ factor × row`, term by term. The sums stay in registers all the while.
#[inline(always)]
pub(crate) fn add_rows<'a, const N: usize>(sum: &mut [f32; N], terms: impl Iterator<Item = (f32, &'a [f32; N])>) {
    let mut sums = *sum;
    for (factor, row) in terms {
        for k in 0..N {
            sums[k] = row[k].mul_add(factor, sums[k]);
        }
    }
    *sum = sums;
}

/// Bit `i` of number `j` becomes bit `j` of number `i`.
///
/// Swaps ever smaller squares: Warren, Hacker's Delight, section 7-3.
#[inline(always)]
pub(crate) fn transpose(bits: &mut [Living; 64]) {
    let mut side = 32;
    let mut mask = u64::MAX >> 32;
    while side > 0 {
        for block in (0..64).step_by(2 * side) {
            for row in block..block + side {
                let swap = ((bits[row] >> side) ^ bits[row + side]) & mask;
                bits[row] ^= swap << side;
                bits[row + side] ^= swap;
            }
        }
        side /= 2;
        mask ^= mask << side;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_swaps_row_and_column() {
        let mut bits: [u64; 64] = std::array::from_fn(|i| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let before = bits;
        transpose(&mut bits);
        for (i, row) in before.iter().enumerate() {
            for (j, column) in bits.iter().enumerate() {
                assert_eq!(row >> j & 1, column >> i & 1, "row {i}, column {j}");
            }
        }
    }

    #[test]
    fn only_what_lives_is_added() {
        let rows = [[1.0, 2.0], [f32::NAN; 2], [10.0, 20.0]];
        let mut sum = [0.5, 0.25];
        add_rows(&mut sum, members(0b101).map(|i| (2.0, &rows[i])));
        assert_eq!(sum, [22.5, 44.25]);
    }
}
