//! The timeline of a steady run is flat, on each engine.

use serde_json::Value;

use crate::{
    run::{echo, engines},
    server::{Fault, Server},
};

#[test]
fn a_steady_rate_is_a_flat_timeline() {
    for engine in engines() {
        let server = Server::start(Fault::Nothing);
        let outcome = echo(&server.url(), engine, "-c 10 --rate 1k -d 2600ms");
        let points = outcome.report["timeline"].as_array().unwrap();
        let of_sending: Vec<&Value> =
            points.iter().filter(|point| point["is_after_sending"] != true).collect();
        assert_eq!(of_sending.len(), 3, "{outcome:?}");
        // Other work on the machine delays messages; the report says how much.
        let delay_s = outcome.number("latency_us.max") / 1e6;
        for point in of_sending {
            let length_s = point["length_s"].as_f64().unwrap();
            for name in ["sent", "received"] {
                let off = (point[name].as_f64().unwrap() - 1000.0 * length_s).abs();
                assert!(off <= 30.0 * length_s + 1000.0 * delay_s, "{name} {outcome:?}");
            }
        }
        for name in ["sent", "received"] {
            let sum: u64 = points.iter().map(|point| point[name].as_u64().unwrap()).sum();
            assert_eq!(sum, 2600, "{name} {outcome:?}");
        }
    }
}
