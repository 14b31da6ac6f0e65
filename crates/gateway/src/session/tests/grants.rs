//! A command is performed only if its client has the grants, on a connection and in a request
//! alike.

use super::*;
use crate::{
    auth::Lists,
    config::patterns::Patterns,
    session::{
        command::Command,
        command_error::{CommandError, ErrorCode},
        perform::{Caller, Performed, Reply, perform},
    },
};
use ringway_acceptor::ConnectionId;
use ringway_hub::{NotifyOutcome, Publisher};

/// The topic or client that each command names.
const NAME: &str = "chat.1";

/// One command of each kind that needs a grant, with its configuration key.
fn commands() -> [(Command<'static>, &'static str); 3] {
    let (id, topic) = (|| "1".into(), || NAME.into());
    let connection = Some("0-0-0".into());
    let subscribe =
        Command::Subscribe { id: id(), topic: topic(), since: None, last: None, connection };
    let publish = Command::Publish {
        id: id(),
        topic: topic(),
        event: None,
        data: "1",
        echo: Echo::Yes,
        ttl: None,
    };
    let notify = Command::Notify { id: id(), to: vec![topic()], event: None, data: "1", ttl: None };
    [
        (subscribe, "clients.may_subscribe"),
        (publish, "clients.may_publish"),
        (notify, "clients.may_notify"),
    ]
}

/// Lists that allow only the command at `place`.
fn only(place: usize, names: &str) -> Lists {
    let list = |own: usize| if own == place { Patterns::new([names]) } else { Patterns::default() };
    Lists { subscribe: list(0), publish: list(1), notify: list(2) }
}

fn settings(lists: Lists) -> Settings {
    let mut settings = Settings::from_config(&Config::default());
    settings.clients.may_subscribe = lists.subscribe;
    settings.clients.may_publish = lists.publish;
    settings.clients.may_notify = lists.notify;
    settings
}

/// Whether a command was performed, or else the key named in its denial.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    CarriedOut,
    Denied(Option<&'static str>),
}

fn outcome(result: Result<Performed<'_>, CommandError<'_>>) -> Outcome {
    match result {
        // A notify is denied for each recipient; its receipt has no room for a key.
        Ok(Performed::Done(Reply::Accepted { receipt, .. })) => match receipt.outcome() {
            Some(mut outcome) => match outcome.next() {
                Some((NAME, NotifyOutcome::Denied)) => Outcome::Denied(None),
                _ => Outcome::CarriedOut,
            },
            None => Outcome::CarriedOut,
        },
        Ok(Performed::Done(_)) => Outcome::CarriedOut,
        Ok(Performed::Awaited(_)) => panic!("the local log answers at once"),
        Err(CommandError { code: ErrorCode::NotAllowed, reference, message, .. }) => {
            let key = reference.map(|reference| reference.key);
            assert_eq!(message.contains("clients.may_"), key.is_some(), "{message}");
            Outcome::Denied(key)
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_command_is_limited_by_the_grants_of_its_client() {
    const NONE: usize = 3;
    let nothing = || Box::new(Lists::default());
    for (place, (command, key)) in commands().into_iter().enumerate() {
        let by_settings = match command {
            Command::Notify { .. } => Outcome::Denied(None),
            _ => Outcome::Denied(Some(key)),
        };
        for (of_all, grants, wanted) in [
            (only(place, "chat.*"), Grants::BySettings, Outcome::CarriedOut),
            (only(place, "chat.2"), Grants::BySettings, by_settings),
            (only(place, "*"), Grants::Own(nothing()), Outcome::Denied(None)),
            (only(place, "*"), Grants::Own(Box::new(only(place, "news"))), Outcome::Denied(None)),
            (only(NONE, "*"), Grants::Own(Box::new(only(place, "chat.*"))), Outcome::CarriedOut),
        ] {
            let settings = settings(of_all);
            let identity = Identity::new("ann", grants);
            let by_request = |hub: &mut CoreHub| {
                let connection = ConnectionId::new(0, 0);
                let caller = &mut Caller::Request {
                    identity: &identity,
                    publisher: Publisher::UNKNOWN,
                    connection,
                };
                outcome(perform(command.clone(), caller, hub, &settings, NOW))
            };
            let on_connection = |hub: &mut CoreHub| {
                let start = Start::Now { last: None, sent: 0 };
                let (mut session, _) = Session::enter(identity.clone(), &[], start, 0, NOW, hub);
                let connection = ConnectionId::new(0, 0);
                let caller = &mut Caller::Session { session: &mut session, connection };
                let outcome = outcome(perform(command.clone(), caller, hub, &settings, NOW));
                let is_subscribed = session.topics() > 0;
                let is_to_be = wanted == Outcome::CarriedOut && place == 0;
                assert_eq!(is_subscribed, is_to_be, "{command:?} {identity:?}");
                outcome
            };
            assert_eq!(by_request(&mut hub()), wanted, "{command:?} {identity:?}");
            assert_eq!(on_connection(&mut hub()), wanted, "{command:?} {identity:?}");
        }
    }
}
