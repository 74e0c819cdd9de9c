//! The peak is what the machine can do at best: here, products of square matrices by libtorch on one core, which is most
//! of what a training step consists of.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use tch::{Device, Kind, Tensor};

use crate::Precision;

/// Rows and columns: large enough to be limited by arithmetic, small enough for a fraction of a second.
const SIDE: i64 = 2048;
/// Products are repeated for at least so long.
const AT_LEAST: Duration = Duration::from_secs(1);

/// GFLOP per second of matrix products on one core.
///
/// # Errors
/// When libtorch cannot multiply in this precision.
pub fn matrix_product(precision: Precision) -> anyhow::Result<f64> {
    // In a thread of its own, because the number of threads that libtorch computes on belongs to the calling one.
    thread::scope(|scope| scope.spawn(|| measure(precision)).join()).map_err(|_| anyhow!("the product panicked"))?
}

fn measure(precision: Precision) -> anyhow::Result<f64> {
    let kind = match precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    };
    tch::set_num_threads(1);
    let a = Tensor::ones([SIDE, SIDE], (kind, Device::Cpu));
    let mut product = a.f_matmul(&a)?;
    let (start, mut products) = (Instant::now(), 0);
    while start.elapsed() < AT_LEAST {
        product = a.f_matmul_out(&product, &a)?;
        products += 1;
    }
    let operations = f64::from(products) * 2.0 * (SIDE as f64).powi(3);
    Ok(operations / start.elapsed().as_secs_f64() / 1e9)
}
