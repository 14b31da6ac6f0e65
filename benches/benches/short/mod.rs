//! The settings of all criterion benches: short, so that all of them end within minutes.
//!
//! They show differences of several percent; for smaller ones, ask criterion for more time on
//! its command line.

use std::time::Duration;

use criterion::Criterion;

/// Less than half a second for each figure.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(20)
        .nresamples(2_000)
        .configure_from_args()
}
