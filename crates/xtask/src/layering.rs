//! Which module uses which, in every crate of the workspace: the graph, its cycles, and the layers
//! of the gateway. Reads sources as text; never builds anything.

mod cycles;
mod graph;
mod layers;
mod references;
mod tables;
mod tokens;
mod workspace;

pub use self::cycles::{cycles, cycles_in};
pub use self::graph::{CRATE_ROOT, Graph, Place, graphs, is_root};
pub use self::layers::{Layers, layers, upward_uses};
pub use self::tables::GATEWAY;
pub use self::workspace::{Manifest, SourceFile, Workspace};
