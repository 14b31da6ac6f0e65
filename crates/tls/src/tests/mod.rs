//! Both roles on each other: records split anywhere, alerts, truncation, resumption.

mod files;
mod sessions;
