//! Pooling and ReLU, as they follow each convolution: the largest of four neighbours, and zero if that is negative.

use crate::{
    layout::{C1, C2, SIDE1, WINDOWS},
    living::Living,
};

/// Which of the four positions of a window won, as one bit, row by row; 0 if ReLU stopped it. Of equals the first wins.
pub(crate) type Winner = u8;

/// Of all windows of the first convolution, row by row.
pub(crate) type Winners1 = [[Winner; C1]; SIDE1 * SIDE1];
/// Of those of the second.
pub(crate) type Winners2 = [[Winner; C2]; WINDOWS];

/// The values of `N` channels after pooling and ReLU, and who won.
#[inline(always)]
pub(crate) fn pool<const N: usize>(window: &[[f32; N]; 4]) -> ([f32; N], [Winner; N]) {
    let (mut best, mut winner) = ([0.0; N], [0u32; N]);
    for (position, values) in window.iter().enumerate() {
        for k in 0..N {
            // What is not a number does not lose: it must not get lost.
            let loses = values[k] <= best[k];
            best[k] = if loses { best[k] } else { values[k] };
            winner[k] = if loses { winner[k] } else { 1 << position };
        }
    }
    (best, winner.map(|bit| bit as Winner))
}

/// The channels of a window that this position won.
#[inline(always)]
pub(crate) fn won(winners: &[Winner; 64], position: usize) -> Living {
    let mut living = 0;
    for (i, bytes) in winners.as_chunks().0.iter().enumerate() {
        // One bit of each byte, moved together into the highest byte.
        let bits = (u64::from_le_bytes(*bytes) >> position) & 0x0101_0101_0101_0101;
        living |= (bits.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
    }
    living
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_largest_wins_and_nothing_that_is_not_positive() {
        let window = [[1.0, -1.0, 0.0, 2.0], [3.0, -2.0, 0.0, 2.0], [3.0, -1.0, -0.0, 1.0], [2.0, -9.0, 0.0, 2.5]];
        assert_eq!(pool(&window), ([3.0, 0.0, 0.0, 2.5], [2, 0, 0, 8]));
    }

    #[test]
    fn what_is_not_a_number_gets_through() {
        let ([value], _) = pool(&[[1.0], [0.5], [-1.0], [f32::NAN]]);
        assert!(value.is_nan());
    }

    #[test]
    fn the_channels_that_a_position_won_are_found() {
        let winners: [Winner; 64] = std::array::from_fn(|i| [0, 1, 2, 4, 8, 4][i % 6]);
        for position in 0..4 {
            let living = won(&winners, position);
            assert!((0..64).all(|i| (living >> i & 1 == 1) == (winners[i] == 1 << position)), "{position}");
        }
    }
}
