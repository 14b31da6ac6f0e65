//! The command line of `ringway token`.

use std::{
    ffi::OsString,
    io::{self, Read},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand};

use crate::{
    auth::token::claims::OwnClaims,
    config::{self, Config},
    limits::TOKEN_BYTES_MAX,
    process::{args::ServeArgs, server},
    tokens::{
        self,
        create::{self, Wish},
        explain::{self, Explanation},
    },
};

const CREATE_AFTER_HELP: &str = "\
EXAMPLES
  ringway token create --key issuer.secret --sub ann --publish 'chat.*' --ttl 1h
  ringway token create --key private.pem --kid 2026-11 --sub ann --subscribe news --subscribe 'chat.*'
  ringway token create --config ringway.toml --sub ann --topic news --meta '{\"plan\":\"gold\"}'
  TOKEN_SECRET=... ringway token create --key env:TOKEN_SECRET --sub ann

The key is a secret of at least 32 bytes (HS256), or a private key in PEM: P-256 (ES256), Ed25519
(EdDSA) or RSA (RS256, or PS256 with --algorithm). A pattern is a name; * at its end stands for any
rest. Only for tests: everybody who can read the key can be any client.";

const EXPLAIN_AFTER_HELP: &str = "\
EXAMPLES
  ringway token explain --config ringway.toml eyJhbGciOi...
  ringway token create --key issuer.secret --sub ann | ringway token explain --config ringway.toml -

EXIT STATUS
  0  a gateway with this configuration accepts the token now
  1  it refuses the token
  2  a wrong command line or configuration";

/// What to do with a token.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for tests
    #[command(after_help = CREATE_AFTER_HELP)]
    Create(Box<CreateArgs>),
    /// Show what a token says, which key verifies it, and whether it is accepted
    #[command(after_help = EXPLAIN_AFTER_HELP)]
    Explain(ExplainArgs),
}

/// The flags of `ringway token create`.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Sign with this secret or private key: a file, or env:NAME; without it, with the first secret of
    /// --config
    #[arg(long, value_name = "FILE|env:NAME")]
    key: Option<String>,
    /// Use the issuer, the audience and the secret of this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The algorithm, if it is not the usual one of the key
    #[arg(long, value_parser = ["HS256", "RS256", "PS256", "ES256", "EdDSA"])]
    algorithm: Option<String>,
    /// The name of the key, for the header
    #[arg(long)]
    kid: Option<String>,
    /// The client's name
    #[arg(long, value_name = "CLIENT")]
    sub: String,
    /// How long the token is valid, such as 90s, 1h or 24h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = config::parse_duration)]
    ttl: Duration,
    /// Topics that the client may subscribe to; may be repeated
    #[arg(long, value_name = "PATTERN")]
    subscribe: Vec<String>,
    /// Topics that it may publish to; may be repeated
    #[arg(long, value_name = "PATTERN")]
    publish: Vec<String>,
    /// Clients that it may notify; may be repeated
    #[arg(long, value_name = "PATTERN")]
    notify: Vec<String>,
    /// A topic that it is subscribed to when it connects; may be repeated
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// JSON for the application, shown by GET /v1/clients/{id}
    #[arg(long, value_name = "JSON")]
    meta: Option<String>,
    /// "iss", if it is not that of the configuration
    #[arg(long)]
    issuer: Option<String>,
    /// "aud", if it is not that of the configuration
    #[arg(long)]
    audience: Option<String>,
}

/// The flags of `ringway token explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The token; - reads it from standard input, so that it does not appear in the list of processes
    token: String,
    /// Verify with the keys of this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What is printed, and which exit status follows.
pub struct Answer {
    /// The text for standard output.
    pub text: String,
    /// Whether the token is accepted, or was made.
    pub is_good: bool,
}

impl TokenCommand {
    /// Performs the command.
    ///
    /// # Errors
    /// The configuration or a flag is wrong.
    pub fn run(self, environment: Vec<(OsString, OsString)>) -> anyhow::Result<Answer> {
        let of = |config: Option<PathBuf>| -> anyhow::Result<Config> {
            let serve = ServeArgs::of_file(config);
            Ok(Config::load(&serve.sources(environment))?)
        };
        match self {
            Self::Create(args) => {
                let config = of(args.config.clone())?;
                let token = create::create(args.wish(), &config, tokens::now())?;
                Ok(Answer { text: token + "\n", is_good: true })
            }
            Self::Explain(ExplainArgs { token, config }) => {
                let tokens = server::tokens(&of(config)?)?;
                let token = if token == "-" { from_input()? } else { token };
                let mut notes = String::new();
                for (place, source) in
                    tokens.iter().flat_map(|tokens| tokens.issuers().sources()).enumerate()
                {
                    let issuers = tokens.as_ref().map(|tokens| tokens.issuers());
                    match (source.fetch(), issuers) {
                        (Ok(fetched), Some(issuers)) => issuers.replace(place, fetched.keys),
                        (Err(error), _) => {
                            notes += &format!("note: {}: {error:#}\n", source.url());
                        }
                        (Ok(_), None) => {}
                    }
                }
                let Explanation { text, is_accepted } =
                    explain::explain(&token, tokens.as_deref(), tokens::now());
                Ok(Answer { text: notes + &text, is_good: is_accepted })
            }
        }
    }
}

impl CreateArgs {
    fn wish(self) -> Wish {
        Wish {
            key: self.key,
            algorithm: self.algorithm,
            kid: self.kid,
            client: self.sub,
            lifetime: self.ttl,
            issuer: self.issuer,
            audience: self.audience,
            own: OwnClaims {
                subscribe: self.subscribe,
                publish: self.publish,
                notify: self.notify,
                topics: self.topic,
                meta: None,
            },
            meta: self.meta,
        }
    }
}

fn from_input() -> io::Result<String> {
    let mut text = String::new();
    // Enough for `explain` to refuse a longer token for its length.
    io::stdin().take(2 * TOKEN_BYTES_MAX as u64).read_to_string(&mut text)?;
    Ok(text)
}
