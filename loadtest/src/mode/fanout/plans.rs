//! From the arguments of a fan-out to the plans of its subscribers, publishers and echoes.
//!
//! It opens nothing.

use anyhow::{Context, Result};
use ringway_acceptor::{WaitMode, cores};
use ringway_frame::DataKind;

use super::{
    feed::Transport,
    sides::{PublishPlan, SubscribePlan, Way},
    traffic::PUBLISHERS_MAX,
};
use crate::{
    args::{
        ArrivalsArg, CommonArgs, ConnectArgs, EchoArgs, MessageArgs, TrafficArgs,
        fanout::{FanoutArgs, SubscribeArg},
    },
    engine::plan::{Plan, Punctuality},
    exit::{require, usage},
    mode::{
        echo::{self, EchoPlan},
        pace::Dial,
    },
    prepare,
    wire::{
        handshake::{Approach, Exchange},
        message::Form,
        template::{MARKED_BYTES, Template},
    },
};

/// The plans of a fan-out, made before anything is opened.
pub struct Plans {
    /// The plan of the subscribers.
    pub subscribers: Plan,
    /// The plan of the publishers.
    pub publishers: Plan,
    /// What subscribers do.
    pub subscribe: SubscribePlan,
    /// What publishers do.
    pub publish: PublishPlan,
    /// The echoes during the fan-out.
    pub echo: Option<(EchoPlan, Plan)>,
}

impl Plans {
    /// Prepares a run with these arguments.
    ///
    /// # Errors
    /// The arguments are wrong; the error says how to fix them.
    pub fn new(args: &FanoutArgs) -> Result<Self> {
        let template = template(args)?;
        let message_bytes = template.draft(u32::MAX).bytes();
        let subscribers = subscribe_plan(args, message_bytes)?;
        let publishers = publish_plan(args, message_bytes)?;
        let subscribe = SubscribePlan {
            hello: args.hello.clone(),
            body: template.body().to_owned(),
            transport: transport(args),
        };
        let publish = PublishPlan {
            dial: Dial::new((!args.closed).then_some(args.rate), args.pattern()),
            outstanding: args.pipeline,
            hello: args.publish_hello.clone(),
            template,
            way: way(args, &publishers.approach),
        };
        let echo = echo_plan(args)?;
        Ok(Self { subscribers, publishers, subscribe, publish, echo })
    }
}

fn template(args: &FanoutArgs) -> Result<Template> {
    require(args.size >= MARKED_BYTES, || {
        format!(
            "--size {} is too small: an event carries its publisher, number and time, \
             {MARKED_BYTES} bytes",
            args.size
        )
    })?;
    require(args.publishers < PUBLISHERS_MAX, || {
        format!(
            "--publishers {} are too many; there may be {}",
            args.publishers,
            PUBLISHERS_MAX - 1
        )
    })?;
    Template::parse(&args.message, args.size).context("--message").map_err(usage)
}

fn subscribe_plan(args: &FanoutArgs, message_bytes: usize) -> Result<Plan> {
    let mut common = args.common.clone();
    distrust(&mut common, args.publish_url.as_deref().unwrap_or_default());
    if common.threads.is_none() && common.cores.len() > 1 {
        // The last core is for the publishers.
        common.cores.pop();
    }
    let form = if args.deflate { Form::Compressed } else { Form::Plain };
    let mut plan = prepare::plan(&common, form, message_bytes, args.duration)?;
    if args.closed {
        // The latencies of a closed loop mean little, so fewer wake-ups are better.
        plan.wait = WaitMode::Adaptive;
    }
    if transport(args) != Transport::WebSocket {
        require(common.url.starts_with("http") && args.hello.is_empty() && !args.deflate, || {
            "--subscribe-by sse and long-poll take an http: URL, no --hello and no --deflate"
                .to_owned()
        })?;
        plan.approach = plan.approach.with_requests();
    }
    Ok(plan)
}

fn transport(args: &FanoutArgs) -> Transport {
    match args.subscribe_by {
        SubscribeArg::WebSocket => Transport::WebSocket,
        SubscribeArg::Sse => Transport::Stream,
        SubscribeArg::LongPoll => Transport::Polls { cursor: args.cursor.clone() },
    }
}

fn publish_plan(args: &FanoutArgs, message_bytes: usize) -> Result<Plan> {
    let url = args.publish_url.clone().unwrap_or_else(|| args.common.url.clone());
    let mut common = common_beside(args, url, args.publishers);
    common.connect.header.clone_from(&args.publish_header);
    let mut plan = prepare::plan(&common, Form::Plain, message_bytes, args.duration)?;
    let cores = match args.common.cores.len() {
        0 => cores::allowed()?.len(),
        given => given,
    };
    if cores < 2 || args.common.threads.is_some_and(|threads| threads as usize >= cores) {
        // It shares the core with subscribers.
        plan.punctuality = Punctuality::Sleeps;
    }
    require(args.bulk == 1 || common.url.starts_with("http"), || {
        "--bulk is for POST requests: give an http: --publish-url".to_owned()
    })?;
    if common.url.starts_with("http") {
        require(args.publish_hello.is_empty(), || {
            "--publish-hello is for WebSockets, and --publish-url is for POST requests".to_owned()
        })?;
        plan.approach = plan.approach.with_requests();
    }
    Ok(plan)
}

fn echo_plan(args: &FanoutArgs) -> Result<Option<(EchoPlan, Plan)>> {
    let Some(url) = &args.echo_url else { return Ok(None) };
    let message = MessageArgs { size: ECHO_BYTES, ..MessageArgs::default() };
    let echo = EchoArgs {
        common: common_beside(args, url.clone(), args.echo_connections),
        traffic: TrafficArgs {
            rate: args.echo_rate,
            closed: false,
            arrivals: ArrivalsArg::Constant,
            duration: args.duration,
            message,
        },
    };
    let mut plan = echo::command::plan(&echo).context("--echo-url").map_err(usage)?;
    // It shares the core with subscribers or publishers.
    plan.punctuality = Punctuality::Sleeps;
    Ok(Some((echo::command::echo_plan(&echo.traffic)?, plan)))
}

/// Payload bytes of an echo message during a fan-out.
const ECHO_BYTES: usize = 64;

/// The options of the few connections that are not subscribers'; they have a separate thread.
fn common_beside(args: &FanoutArgs, url: String, connections: u32) -> CommonArgs {
    let mut common = CommonArgs {
        url,
        connections,
        first_number: 0,
        connect: ConnectArgs { ramp: None, ..args.common.connect.clone() },
        threads: Some(1),
        // Only a core that was given: any other may be the server's.
        cores: args.common.cores.last().copied().into_iter().collect(),
        pid: None,
        ..args.common.clone()
    };
    distrust(&mut common, &args.common.url);
    common
}

/// Drops the TLS options of a side that does not use TLS; they may be meant for the other side.
fn distrust(common: &mut CommonArgs, other_url: &str) {
    let is_encrypted = |url: &str| url.starts_with("wss:") || url.starts_with("https:");
    if !is_encrypted(&common.url) && is_encrypted(other_url) {
        let connect = &mut common.connect;
        (connect.ca, connect.insecure, connect.resume) = (None, false, false);
    }
}

fn way(args: &FanoutArgs, approach: &Approach) -> Way {
    match approach.exchange() {
        Exchange::Requests => Way::Requests {
            approach: Box::new(approach.clone()),
            content_type: args.content_type.clone(),
            bulk: args.bulk,
        },
        Exchange::WebSocket if args.binary => Way::Messages(DataKind::Binary),
        Exchange::WebSocket => Way::Messages(DataKind::Text),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        args::{Arguments, Command},
        wire::handshake::Terms,
    };

    fn plans(words: &str) -> Result<Plans> {
        let words =
            "load fanout --url ws://127.0.0.1:9/ ".split_whitespace().chain(words.split(' '));
        match Arguments::parse_from(words).command {
            Command::Fanout(args) => Plans::new(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn subscribers_alone_offer_compression() {
        let plans = plans("-c 2 --deflate").unwrap();
        let offers = |plan: &Plan| {
            let mut request = Vec::new();
            Terms::of(&plan.approach).begin([7; 16], 0, None, &mut request).unwrap();
            String::from_utf8(request).unwrap().contains("permessage-deflate")
        };
        assert!(offers(&plans.subscribers) && !offers(&plans.publishers));
    }

    #[test]
    fn many_events_at_once_need_requests() {
        let refused = plans("-c 2 --closed --bulk 3").err().unwrap().to_string();
        assert!(refused.contains("--bulk"), "{refused}");
        let plans = plans("-c 2 --closed --bulk 3 --publish-url http://127.0.0.1:9/").unwrap();
        assert_eq!(plans.publish.way.bulk(), 3);
    }
}
