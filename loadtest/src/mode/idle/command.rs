//! The command `idle`, from its arguments to its exit status.

use std::net::IpAddr;

use anyhow::Result;

use super::{Held, Idle, IdlePlan};
use crate::{
    args::idle::IdleArgs,
    engine::{coordinator::Coordinator, plan::Plan},
    exit::{Status, require},
    measure::{
        kernel::KernelMemory, ledger::Ledger, process, run::Run, server::ServerState,
        timeline::Seen,
    },
    mode::ready,
    output::{
        self,
        progress::{Goal, Loudness, RunProgress},
    },
    prepare,
    report::{Heading, Report},
    verdict,
    wire::message::Form,
};

/// The memory that this host uses at one time.
struct Sample {
    kernel: KernelMemory,
    server: Option<ServerState>,
    tester_bytes: u64,
}

impl Sample {
    fn take(server_pid: Option<u32>) -> Result<Self> {
        Ok(Self {
            kernel: KernelMemory::now(),
            server: server_pid.map(ServerState::now).transpose()?,
            tester_bytes: process::resident_bytes(std::process::id())?,
        })
    }
}

/// Runs the command.
///
/// # Errors
/// Nothing can be measured; the error says what is wrong and how to fix it.
pub fn run(args: &IdleArgs) -> Result<Status> {
    let common = &args.common;
    require(!args.hold.is_zero(), || "--hold must be longer than 0".to_owned())?;
    let mut plan = prepare::plan(common, Form::Plain, 0, args.hold)?;
    let is_http = common.url.starts_with("http");
    require(!is_http || args.ping.is_none() && args.hello.is_empty(), || {
        "--ping and --hello are for WebSockets; at an http: URL the response to a GET is held"
            .to_owned()
    })?;
    if is_http {
        plan.approach = plan.approach.with_requests();
    }
    let rate = args.ping.map(|period| f64::from(plan.connections) / period.as_secs_f64());
    let heading = prepare::heading("idle", &plan, rate);
    let both_ends_here = common.pid.is_some() || is_here(&plan);
    let goal = Goal::Holding(args.hold);
    let mut progress = RunProgress::towards(goal, Loudness::of(&common.output));
    let before = Sample::take(common.pid)?;
    let idle = IdlePlan {
        ping: args.ping,
        hello: args.hello.clone(),
        request: is_http.then(|| plan.approach.clone()),
    };
    let mut coordinator = Coordinator::start(plan, move |share, plan| {
        Idle::new(idle.clone(), plan.share(share.index).1)
    })?;
    let opening = ready::await_connections(&mut coordinator, &mut progress)?;
    let open = Sample::take(common.pid)?;
    let run = coordinator.measure(args.hold, &mut progress)?;
    // If the server has ended meanwhile, its connections show that.
    let after = Sample::take(common.pid).or_else(|_| Sample::take(None))?;
    progress.finish();
    let report = report(&heading, &opening, &run, [&before, &open, &after], both_ends_here);
    output::finish(&report, Some(&opening), &run.seen, &common.output)?;
    coordinator.end();
    Ok(Status::of(&report))
}

fn report(
    heading: &Heading,
    opening: &Seen,
    run: &Run<Held>,
    samples: [&Sample; 3],
    both_ends_here: bool,
) -> Report {
    let mut report = verdict::report(heading, opening, run, Ledger::default());
    let mut held = Held::default();
    run.outcomes.iter().for_each(|one| held += *one);
    // There are no messages to divide it by.
    report.server_cpu_ns_per_message = None;
    report.tester.cpu_ns_per_message = 0.0;
    report.detail("connections_opened", opening.opened as f64);
    report.detail("connections_lost", held.lost as f64);
    report.detail("messages_unasked", held.messages as f64);
    let [before, open, after] = samples;
    let connections = f64::from(run.open);
    if run.open > 0 {
        let seconds = run.elapsed.as_secs_f64();
        let each = |bytes: f64| bytes / connections;
        let growth = |after: u64, before: u64| each(after as f64 - before as f64);
        report.detail("tester_rss_bytes", after.tester_bytes as f64);
        let tester = growth(after.tester_bytes, before.tester_bytes);
        report.detail("tester_rss_bytes_per_connection", tester);
        let cpu = run.tester_cpu.as_nanos() as f64;
        report.detail("tester_cpu_ns_per_connection_per_s", each(cpu / seconds));
        if let (Some(before), Some(open), Some(after)) =
            (&before.server, &open.server, &after.server)
        {
            report.detail("server_rss_before_bytes", before.resident_bytes as f64);
            report.detail("server_rss_open_bytes", open.resident_bytes as f64);
            report.detail("server_rss_held_bytes", after.resident_bytes as f64);
            let server = growth(after.resident_bytes, before.resident_bytes);
            report.detail("server_rss_bytes_per_connection", server);
            if server < REUSED_BYTES_MAX {
                report.warnings.push(format!(
                    "memory_reused: the server's memory grew by {server:.0} bytes for each \
                     connection, which is less than any connection costs: the server reused memory \
                     of earlier connections, so this is not the cost of a connection; restart the \
                     server, or hold more connections than it had before"
                ));
            }
            let cpu = after.cpu.saturating_sub(open.cpu).as_nanos() as f64;
            report.detail("server_cpu_ns_per_connection_per_s", each(cpu / seconds));
            let cpu = open.cpu.saturating_sub(before.cpu).as_nanos() as f64 / opening.opened as f64;
            report.detail("server_cpu_opening_ns_per_connection", cpu);
            report.server_threads = after.threads_since(open, run.elapsed);
        }
        kernel_details(&mut report, [&before.kernel, &after.kernel], run.open);
    } else {
        report.warnings.push("no connection was left to share memory among".to_owned());
    }
    if both_ends_here {
        report.warnings.push(
            "both ends of each connection are on this host, so the kernel's memory (slab_…, \
             socket_…) is that of both"
                .to_owned(),
        );
    }
    report
}

/// A connection takes more of a server's memory than this: its state, its table entries and its
/// subscriptions.
const REUSED_BYTES_MAX: f64 = 64.0;

/// If a cache grew by fewer objects per connection, it grew for another reason.
const GROWTH_OBJECTS_MIN: f64 = 0.5;

/// Inodes of `/proc/PID/fd`: a monitor that reads them creates them.
const OF_ONLOOKERS: &str = "proc_inode_cache";

fn kernel_details(report: &mut Report, [before, after]: [&KernelMemory; 2], connections: u32) {
    let each = |bytes: f64| bytes / f64::from(connections);
    if let (Some(before), Some(after)) = (&before.slabs, &after.slabs) {
        let mut sum = 0.0;
        for (cache, growth) in after.growth(before) {
            let (objects, bytes) = (each(growth.objects as f64), each(growth.bytes as f64));
            if objects >= GROWTH_OBJECTS_MIN && cache != OF_ONLOOKERS {
                sum += bytes;
                report.detail(&format!("slab_{cache}_bytes_per_connection"), bytes);
            }
        }
        report.detail("slab_bytes_per_connection", sum);
    } else {
        report
            .warnings
            .push("slab memory by cache: unknown: only root can read /proc/slabinfo".to_owned());
    }
    if let (Some(before), Some(after)) = (before.unreclaimable_bytes, after.unreclaimable_bytes) {
        let growth = each(after as f64 - before as f64);
        report.detail("slab_unreclaimable_bytes_per_connection", growth);
    }
    if let (Some(before), Some(after)) = (&before.sockets, &after.sockets) {
        let buffers = each(after.buffer_bytes as f64 - before.buffer_bytes as f64);
        report.detail("socket_buffer_bytes_per_connection", buffers);
        report.detail("socket_tcp_in_use", after.in_use as f64);
    }
}

/// Whether the server is on this host, judging by its address.
fn is_here(plan: &Plan) -> bool {
    match plan.approach.target().addresses()[0].ip() {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback(),
    }
}
