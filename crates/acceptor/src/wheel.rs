//! Skeleton.
/// Skeleton.
pub struct Wheel;
