//! The memory budget: one account of everything that the process buffers for its clients, and what
//! happens when the account is full.
//!
//! The history, the directory and other shared tables have bounds of their own and are not in this
//! account. Nothing here knows what a client is or why it holds memory.

mod budget;
mod core_memory;
mod growth;
pub mod release;

pub use self::{
    budget::{Held, MemoryBudget, OutOfMemory},
    core_memory::CoreMemory,
    growth::{append, copy, make_room},
};
