//! Clients of the hub, on every transport, and a model of the events that each must get.
//!
//! The clients reach the gateway only by bytes. The model knows the log, the position at which each
//! command was performed, and the bytes that each socket took; it never looks into a session.

mod application;
mod checker;
mod command;
mod connect_params;
mod connection;
mod late_log;
mod model;
mod oracle;
mod person;
mod reference_log;
mod scenario;
mod service;
mod taken;
pub mod token;
mod workload;

pub use late_log::LateLog;
pub use model::{Model, Place};
pub use scenario::{HubPlan, Placing};

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use ringway::broker::{Broker, mailbox::Mailbox};
use ringway_acceptor::sim::{Faults, Network};
use ringway_hub::{Cursor, Liveness};

use self::model::PROPERTY;
use crate::{
    checkers::{check, check_eq},
    world::Shared,
};

/// All clients of the hub, and the application.
pub struct Hub {
    /// The model of all of them.
    pub model: Model,
    network: Network,
    broker: Arc<Broker>,
    mailbox: Mailbox,
    plan: HubPlan,
    devices: Vec<Device>,
    application: application::Application,
    late_log: Option<Arc<LateLog>>,
    rng: Rng,
    application_acts_at: Duration,
    application_actions: u32,
    send_buffer_bytes: usize,
    serial: u64,
}

/// A client, over all of its connections.
#[derive(Default)]
struct Device {
    /// The index of its name.
    person: usize,
    /// The connection that receives its events.
    connection: Option<usize>,
    /// The connection for its commands, if the other one does not go both ways.
    post: Option<usize>,
    /// Its cursor.
    cursor: Option<Cursor>,
    /// Earlier cursors.
    older: Vec<Cursor>,
    /// Topics that it subscribes to whenever it connects.
    topics: Vec<String>,
    /// How many more actions it takes.
    actions: u32,
    /// When it takes the next one.
    acts_at: Duration,
    /// When it reads again.
    reads_at: Option<Duration>,
}

impl Hub {
    /// Clients that have not connected yet.
    pub fn new(
        plan: HubPlan,
        network: &Network,
        shared: &Shared,
        faults: &Faults,
        rng: &mut Rng,
    ) -> Self {
        let mut rng = rng.fork();
        let devices = (0..plan.devices)
            .map(|_| Device {
                person: rng.usize(0..plan.people.len()),
                topics: plan.topics.iter().filter(|_| rng.bool()).cloned().collect(),
                actions: plan.actions,
                acts_at: plan.haste.mul_f64(3.0 * rng.f64()),
                ..Device::default()
            })
            .collect();
        Self {
            model: Model::new(&shared.broker, &shared.settings, &plan),
            network: network.clone(),
            broker: Arc::clone(&shared.broker),
            mailbox: shared.mailbox.clone(),
            devices,
            application: application::Application::new(&shared.mailbox),
            late_log: shared.late_log.clone(),
            rng,
            application_acts_at: Duration::ZERO,
            application_actions: 10 * plan.actions,
            send_buffer_bytes: faults.send_buffer_bytes,
            serial: 0,
            plan,
        }
    }

    /// Whether nothing more will happen to any client.
    pub fn is_done(&self) -> bool {
        self.devices.iter().all(Device::is_done)
    }

    /// Checks, after the last client has left, that the directory has no connections.
    pub fn check_end(&self) {
        check_eq!(self.broker.pending(), 0, "submissions without an outcome");
        let directory = &self.broker.directory;
        for name in &self.plan.people {
            check_eq!(directory.connections(name), 0, "connections of {name}");
            let liveness = directory.liveness(name);
            let is_away = matches!(liveness, Liveness::Away | Liveness::Unknown);
            check!(is_away, "{name} {liveness:?}");
        }
    }

    /// A description of the clients for a failure.
    pub fn describe(&self) -> Vec<String> {
        let open = self.model.connections.iter().filter(|connection| !connection.is_closed);
        open.map(|open| format!("{:?} {:?} {:?}", open.transport, open.phase, open.oracle))
            .collect()
    }
}

impl Device {
    /// Whether nothing more will happen to the client.
    fn is_done(&self) -> bool {
        self.actions == 0 && self.connection.is_none() && self.post.is_none()
    }
}
