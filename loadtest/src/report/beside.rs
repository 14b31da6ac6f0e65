//! Echoes during a fan-out: how long other clients of the server waited while events were
//! delivered.

use serde::{Deserialize, Serialize};

use crate::measure::{
    quantiles::{Quantiles, Times, micros},
    timeline::Seen,
};

/// The tester's own delay may be this share of the p99.
const OWN_SHARE_MAX: f64 = 0.2;

/// The latency of messages that were echoed on other connections while events were delivered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EchoBeside {
    /// From the intended send time to the answer.
    pub latency_us: Quantiles,
    /// The p99 of the tester's own delay in sending or in reading, whichever is longer.
    pub own_delay_p99_us: f64,
}

impl EchoBeside {
    /// The figures of these echoes.
    pub fn of(seen: &Seen) -> Self {
        let p99 = |times: &Times| micros(times.value_at_quantile(0.99));
        Self {
            latency_us: Quantiles::of(&seen.latencies),
            own_delay_p99_us: p99(&seen.send_delays).max(p99(&seen.look_delays)),
        }
    }

    /// A warning if the tester's own delay matters.
    pub fn warning(&self) -> Option<String> {
        let (own, p99) = (self.own_delay_p99_us, self.latency_us.p99);
        (own > OWN_SHARE_MAX * p99).then(|| {
            format!(
                "echo_beside: of the {p99:.0} us that an echo took at p99, up to {own:.0} us are the \
                 tester's own; give it more --cores, or ask for fewer events"
            )
        })
    }
}
