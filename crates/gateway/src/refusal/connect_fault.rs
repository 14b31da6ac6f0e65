//! The errors in the query of a request for events.

use ringway_http::query::NotUtf8;

use crate::config::spelling;

/// A parameter of the query. Only `topic` may be given several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// `client`
    Client,
    /// `topic`
    Topic,
    /// `cursor`
    Cursor,
    /// `last`
    Last,
    /// `wait`
    Wait,
    /// `format`
    Format,
    /// `callback`
    Callback,
    /// `origin`
    Origin,
    /// `names`
    Names,
    /// `token`
    Token,
    /// `auth`
    Auth,
}

impl Parameter {
    const ALL: [(&str, Self); 11] = [
        ("client", Self::Client),
        ("topic", Self::Topic),
        ("cursor", Self::Cursor),
        ("last", Self::Last),
        ("wait", Self::Wait),
        ("format", Self::Format),
        ("callback", Self::Callback),
        ("origin", Self::Origin),
        ("names", Self::Names),
        ("token", Self::Token),
        ("auth", Self::Auth),
    ];

    /// The parameter with the spelling nearest to `name`.
    pub fn nearest(name: &str) -> Option<Self> {
        let near = spelling::nearest(name, Self::ALL.map(|(known, _)| known))?;
        Self::ALL.into_iter().find_map(|(known, parameter)| (known == near).then_some(parameter))
    }
}

/// An error in the parameters of a request for events, or in its `Last-Event-ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisitFault {
    /// The decoded query is not UTF-8.
    NotUtf8,
    /// The parameter was given twice.
    Doubled(Parameter),
    /// `client` is not a valid name.
    Client,
    /// A `topic` is not a valid name.
    Topic,
    /// The parameter does not exist; the one with the nearest spelling.
    Unknown(Option<Parameter>),
    /// The gateway has no key for tokens.
    Token,
    /// A topic with a wildcard; wildcards are not supported yet.
    Wildcard,
    /// More topics than allowed.
    TooManyTopics,
    /// A topic that clients may not subscribe to.
    Forbidden,
    /// A topic that this client may not subscribe to.
    NotGranted,
    /// `cursor` was not issued by this gateway.
    Cursor,
    /// `last` is not a number of events.
    Last,
    /// `wait` is not a number of seconds.
    Wait,
    /// `format` names no format.
    Format,
    /// `callback` is not the name of a function.
    Callback,
    /// `origin` is not an origin as browsers write it.
    Origin,
    /// Both `callback` and `origin` were given.
    TwoReceivers,
    /// Pages of `origin` may not use the gateway.
    ForeignOrigin,
    /// `names` is neither on nor off.
    Names,
    /// `auth` is not the word message, or is not on a WebSocket where the configuration allows it.
    Auth,
    /// Two Last-Event-ID fields, or a value that is not UTF-8.
    LastEventId,
}

impl VisitFault {
    /// The `detail` of the response.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotUtf8 => "The query is not UTF-8.",
            Self::Doubled(Parameter::Client) => "The parameter client was given twice.",
            // Never reported, because a topic may be given several times.
            Self::Doubled(Parameter::Topic) => "The parameter topic was given twice.",
            Self::Doubled(Parameter::Cursor) => "The parameter cursor was given twice.",
            Self::Doubled(Parameter::Last) => "The parameter last was given twice.",
            Self::Doubled(Parameter::Wait) => "The parameter wait was given twice.",
            Self::Doubled(Parameter::Format) => "The parameter format was given twice.",
            Self::Doubled(Parameter::Callback) => "The parameter callback was given twice.",
            Self::Doubled(Parameter::Origin) => "The parameter origin was given twice.",
            Self::Doubled(Parameter::Token) => "The parameter token was given twice.",
            Self::Doubled(Parameter::Auth) => "The parameter auth was given twice.",
            Self::Doubled(Parameter::Names) => "The parameter names was given twice.",
            Self::Client => {
                "The parameter client is 1 to 128 bytes without control characters or wildcards \
                 (* and > between dots), and does not begin with @ or $."
            }
            Self::Topic => {
                "Each topic is 1 to 128 bytes without control characters, and does not begin with @ \
                 or $."
            }
            Self::Forbidden => "Clients may not subscribe to this topic.",
            Self::NotGranted => "This client may not subscribe to this topic.",
            Self::Unknown(near) => unknown(near),
            Self::Token => {
                "The parameter token is not supported: this gateway has no key for tokens."
            }
            Self::Wildcard => {
                "A topic has no wildcards (* and > between dots): name each topic by itself."
            }
            Self::TooManyTopics => "The parameter topic was given too often.",
            Self::Cursor => {
                "The parameter cursor, or Last-Event-ID, was not issued by this gateway."
            }
            Self::Last => "The parameter last is a number of events, from 1 on.",
            Self::Wait => "The parameter wait is a number of seconds, such as 25 or 0.5.",
            Self::Format => "The parameter format is lines or iframe.",
            Self::Callback => {
                "The parameter callback is one identifier of at most 64 letters, digits and \
                 underscores, without dots. The function is called on parent: write ringway for \
                 parent.ringway."
            }
            Self::Origin => {
                "The parameter origin is the origin of the page that embeds the frame, such as \
                 https://shop.example."
            }
            Self::TwoReceivers => {
                "The parameter callback is for a page of this origin, and the parameter origin for \
                 a page of another: give one of them."
            }
            Self::ForeignOrigin => {
                "The parameter origin names an origin that is not in cors.allowed_origins."
            }
            Self::Names => "The parameter names is on or off.",
            Self::Auth => {
                "The parameter auth is message: the token is in the first message of a WebSocket, \
                 if auth.first_message allows it."
            }
            Self::LastEventId => "A request has at most one Last-Event-ID field, in UTF-8.",
        }
    }
}

impl From<NotUtf8> for VisitFault {
    fn from(_: NotUtf8) -> Self {
        Self::NotUtf8
    }
}

/// The `detail` for a parameter that does not exist.
fn unknown(near: Option<Parameter>) -> &'static str {
    match near {
        Some(Parameter::Client) => "Unknown parameter; did you mean client?",
        Some(Parameter::Topic) => "Unknown parameter; did you mean topic?",
        Some(Parameter::Cursor) => "Unknown parameter; did you mean cursor?",
        Some(Parameter::Last) => "Unknown parameter; did you mean last?",
        Some(Parameter::Wait) => "Unknown parameter; did you mean wait?",
        Some(Parameter::Format) => "Unknown parameter; did you mean format?",
        Some(Parameter::Callback) => "Unknown parameter; did you mean callback?",
        Some(Parameter::Origin) => "Unknown parameter; did you mean origin?",
        Some(Parameter::Names) => "Unknown parameter; did you mean names?",
        Some(Parameter::Token) => "Unknown parameter; did you mean token?",
        Some(Parameter::Auth) => "Unknown parameter; did you mean auth?",
        None => {
            "The query has an unknown parameter. The known parameters are client, topic, cursor, \
             last, wait, format, callback, origin, names, token and auth."
        }
    }
}
