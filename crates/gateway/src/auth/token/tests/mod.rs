//! Tokens of every algorithm, and tokens that somebody made to be let in by mistake.

use std::{ffi::OsString, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{keys::KeySet, *};
use crate::config::{AuthKey, Config, TokenAlgorithm};

mod grants;

const SECRET: &str = "a secret of more than thirty-two bytes";

/// 2001-09-09, in seconds since 1970.
const NOW: u64 = 1_000_000_000;

const LEEWAY: u64 = 30;

fn now() -> Duration {
    Duration::from_secs(NOW)
}

fn secret_key() -> AuthKey {
    AuthKey {
        secret_env: Some("SECRET".to_owned()),
        ..AuthKey::without_source(&[TokenAlgorithm::Hs256])
    }
}

fn pem_key(name: &str, algorithms: &[TokenAlgorithm]) -> AuthKey {
    let path = format!("{}/src/auth/token/tests/{name}", env!("CARGO_MANIFEST_DIR"));
    AuthKey { pem_file: Some(path), ..AuthKey::without_source(algorithms) }
}

fn environment(name: &str) -> Option<OsString> {
    match name {
        "SECRET" => Some(SECRET.into()),
        "SHORT" => Some("0123456789012345678901234567890".into()),
        _ => None,
    }
}

fn load(tables: &[AuthKey]) -> Result<KeySet, String> {
    KeySet::load(tables, environment).map_err(|error| format!("{error:#}"))
}

fn tokens(tables: &[AuthKey]) -> Tokens {
    let auth = Config::default().auth;
    assert_eq!(auth.leeway, Duration::from_secs(LEEWAY));
    Tokens::new(load(tables).unwrap(), auth)
}

fn claims() -> Value {
    json!({"sub": "ann", "exp": NOW + 60})
}

/// A token of this secret, with any header and payload.
fn signed(header: &str, payload: &[u8]) -> String {
    let [header, payload] = [header.as_bytes(), payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{payload}");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn of_claims(claims: &Value) -> String {
    signed(HS256, claims.to_string().as_bytes())
}

fn verify(token: &str) -> Result<Identity, TokenFault> {
    tokens(&[secret_key()]).verify(token.as_bytes(), now())
}

#[test]
fn each_algorithm_verifies_what_its_key_has_signed_and_nothing_else() {
    let (rsa, ec, ed) =
        (include_bytes!("rsa.pem"), include_bytes!("ec.pem"), include_bytes!("ed.pem"));
    let all = [
        (Algorithm::HS256, EncodingKey::from_secret(SECRET.as_bytes()), secret_key()),
        (
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(rsa),
            pem_key("rsa.pub.pem", &[TokenAlgorithm::Rs256]),
        ),
        (
            Algorithm::PS256,
            EncodingKey::from_rsa_pem(rsa),
            pem_key("rsa.pub.pem", &[TokenAlgorithm::Ps256]),
        ),
        (
            Algorithm::ES256,
            EncodingKey::from_ec_pem(ec),
            pem_key("ec.pub.pem", &[TokenAlgorithm::Es256]),
        ),
        (
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(ed),
            pem_key("ed.pub.pem", &[TokenAlgorithm::EdDsa]),
        ),
    ];
    ring_provider::install();
    let made = all.each_ref().map(|(algorithm, key, _)| {
        encode(&Header::new(*algorithm), &claims(), key.as_ref().unwrap()).unwrap()
    });
    for (algorithm, _, table) in &all {
        let tokens = tokens(std::slice::from_ref(table));
        for ((other, ..), token) in all.iter().zip(&made) {
            let verified = tokens.verify(token.as_bytes(), now());
            match other == algorithm {
                true => assert_eq!(&*verified.unwrap().client, "ann", "{algorithm:?}"),
                false => assert_eq!(verified.err(), Some(TokenFault::Algorithm), "{algorithm:?}"),
            }
            // Each bit of the signature counts; the last character has bits that are not used.
            let mut changed = token.clone();
            let at = changed.rfind('.').unwrap() + 5;
            let other = if &changed[at..=at] == "A" { "B" } else { "A" };
            changed.replace_range(at..=at, other);
            assert!(tokens.verify(changed.as_bytes(), now()).is_err(), "{algorithm:?}");
        }
    }
}

#[test]
fn hostile_tokens_are_refused() {
    let good = of_claims(&claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let of_another = of_claims(&json!({"sub": "bob", "exp": NOW + 60}));
    let (_, other) = of_another.rsplit_once('.').unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        of_claims(&claims)
    };
    let payload = claims().to_string();
    let headed = |header: &str| signed(header, payload.as_bytes());
    let unsigned = |header: &str| {
        let token = headed(header);
        token[..=token.rfind('.').unwrap()].to_owned()
    };
    let huge = format!(r#"{{"alg":"HS256","x":"{}"}}"#, "a".repeat(TOKEN_BYTES_MAX));
    use TokenFault::*;
    let table: &[(&str, String, TokenFault)] = &[
        ("nothing", String::new(), Malformed),
        ("dots", "..".to_owned(), Malformed),
        ("many dots", ".".repeat(TOKEN_BYTES_MAX), Malformed),
        ("a part too many", format!("{good}.{signature}"), Malformed),
        ("a part too few", message.to_owned(), Malformed),
        ("cut", good[..good.len() - 1].to_owned(), Malformed),
        ("the signature of another token", format!("{message}.{other}"), Signature),
        ("no signature", format!("{message}."), Signature),
        ("padding", format!("{good}="), Malformed),
        ("not base64", format!("{message}.\u{e9}{signature}"), Malformed),
        ("a space", format!(" {good}"), Malformed),
        ("alg none", unsigned(r#"{"alg":"none"}"#), Malformed),
        ("alg None, signed", headed(r#"{"alg":"None"}"#), Malformed),
        ("alg of another family", headed(r#"{"alg":"ES256"}"#), Algorithm),
        ("a longer hash", headed(r#"{"alg":"HS512"}"#), Algorithm),
        ("no alg", headed("{}"), Malformed),
        ("two algs", headed(r#"{"alg":"HS256","alg":"none"}"#), Malformed),
        ("a header that is no object", headed("[]"), Malformed),
        ("a critical extension", headed(r#"{"alg":"HS256","crit":["x"],"x":1}"#), Malformed),
        ("a payload that is not encoded", headed(r#"{"alg":"HS256","b64":false}"#), Malformed),
        ("a huge header", headed(&huge), TooLong),
        ("claims that are no object", signed(HS256, b"1"), Malformed),
        ("a claim twice", signed(HS256, br#"{"sub":"a","exp":9e9,"sub":"b"}"#), Malformed),
        (
            "a grant twice",
            signed(HS256, br#"{"sub":"a","exp":9e9,"ringway":{"publish":[],"publish":["*"]}}"#),
            Malformed,
        ),
        ("not UTF-8", signed(HS256, b"{\"sub\":\"\xff\",\"exp\":9e9}"), Malformed),
        ("exp as a text", with("exp", json!("9999999999")), Malformed),
        ("exp as a switch", with("exp", json!(true)), Malformed),
        ("exp that is infinite", signed(HS256, br#"{"sub":"a","exp":1e999}"#), Malformed),
        ("exp before 1970", with("exp", json!(-1)), Expired),
        ("no exp", of_claims(&json!({"sub": "ann"})), NoExpiry),
        ("null exp", with("exp", Value::Null), NoExpiry),
        ("expired", with("exp", json!(NOW - LEEWAY)), Expired),
        ("far future", with("nbf", json!(1e300)), NotYetValid),
        ("not yet valid", with("nbf", json!(NOW + LEEWAY + 1)), NotYetValid),
        ("no sub", of_claims(&json!({"exp": NOW + 60})), Subject),
        ("an empty sub", with("sub", json!("")), Subject),
        ("a sub that is no name", with("sub", json!("a\nb")), Subject),
        ("a reserved sub", with("sub", json!("$app")), Subject),
        ("the sub of an anonymous client", with("sub", json!("anon-12345678")), Subject),
        ("sub as a number", with("sub", json!(7)), Malformed),
        ("another audience", with("aud", json!("elsewhere")), Audience),
        ("grants that are no object", with("ringway", json!("*")), Malformed),
        ("a bad pattern", with("ringway", json!({"publish": ["a*b"]})), Grants),
        ("a bad topic", with("ringway", json!({"topics": ["news.*"]})), Grants),
    ];
    for (what, token, fault) in table {
        assert_eq!(verify(token).err(), Some(*fault), "{what}");
    }
    assert_eq!(&*verify(&good).unwrap().client, "ann");
}

/// CVE-2015-9235: a public key, which everybody has, must not become the secret of an HMAC.
#[test]
fn a_public_key_is_never_a_secret() {
    let pem = include_bytes!("rsa.pub.pem");
    let tokens = tokens(&[pem_key("rsa.pub.pem", &[TokenAlgorithm::Rs256])]);
    let [header, payload] =
        [HS256.to_owned(), claims().to_string()].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{payload}");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, pem);
    let signature = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, message.as_bytes()));
    let forged = format!("{message}.{signature}");
    assert_eq!(tokens.verify(forged.as_bytes(), now()).err(), Some(TokenFault::Algorithm));
}

#[test]
fn the_limit_of_a_token_is_exact() {
    let of_length = |length: usize| {
        let empty = of_claims(&json!({"sub": "ann", "exp": NOW + 60, "x": ""})).len();
        let filling = (length - empty) * 3 / 4;
        (filling.saturating_sub(3)..filling + 4)
            .map(|filling| {
                of_claims(&json!({"sub": "ann", "exp": NOW + 60, "x": "a".repeat(filling)}))
            })
            .find(|token| token.len() == length)
    };
    let longest = of_length(TOKEN_BYTES_MAX).or_else(|| of_length(TOKEN_BYTES_MAX - 1)).unwrap();
    assert!(verify(&longest).is_ok());
    let longer = of_length(TOKEN_BYTES_MAX + 1).or_else(|| of_length(TOKEN_BYTES_MAX + 2)).unwrap();
    assert_eq!(verify(&longer).err(), Some(TokenFault::TooLong));
}

#[test]
fn times_have_a_leeway_to_the_second() {
    let at = |exp: u64, nbf: u64| verify(&of_claims(&json!({"sub": "a", "exp": exp, "nbf": nbf})));
    assert!(at(NOW - LEEWAY + 1, 0).is_ok());
    assert_eq!(at(NOW - LEEWAY, 0).err(), Some(TokenFault::Expired));
    assert!(at(NOW + 60, NOW + LEEWAY).is_ok());
    assert_eq!(at(NOW + 60, NOW + LEEWAY + 1).err(), Some(TokenFault::NotYetValid));
    let identity = at(NOW + 60, 0).unwrap();
    assert_eq!(identity.expires_at, Some(Duration::from_secs(NOW + 60 + LEEWAY)));
    // RFC 7519 §2: a fraction is allowed.
    let token = of_claims(&json!({"sub": "a", "exp": NOW as f64 + 0.5}));
    assert_eq!(
        verify(&token).unwrap().expires_at,
        Some(now() + Duration::from_millis(LEEWAY * 1000 + 500))
    );
}

#[test]
fn issuer_and_audience_must_be_those_of_the_configuration() {
    let auth = Auth {
        issuer: "https://id".to_owned(),
        audience: "ringway".to_owned(),
        ..Config::default().auth
    };
    let tokens = Tokens::new(load(&[secret_key()]).unwrap(), auth);
    let fault = |iss: Value, aud: Value| {
        let claims = json!({"sub": "ann", "exp": NOW + 60, "iss": iss, "aud": aud});
        tokens.verify(of_claims(&claims).as_bytes(), now()).err()
    };
    assert_eq!(fault(json!("https://id"), json!("ringway")), None);
    assert_eq!(fault(json!("https://id"), json!(["a", "ringway"])), None);
    assert_eq!(fault(json!("https://id/"), json!("ringway")), Some(TokenFault::Issuer));
    assert_eq!(fault(Value::Null, json!("ringway")), Some(TokenFault::Issuer));
    for aud in [Value::Null, json!([]), json!("ringway2"), json!(["a"]), json!("")] {
        assert_eq!(fault(json!("https://id"), aud), Some(TokenFault::Audience));
    }
}

#[test]
fn a_kid_chooses_the_key() {
    let named = |kid: &str| AuthKey { kid: Some(kid.to_owned()), ..secret_key() };
    let of_kid = |kid: &str| {
        signed(&json!({"alg": "HS256", "kid": kid}).to_string(), claims().to_string().as_bytes())
    };
    let one = tokens(&[named("a")]);
    assert!(one.verify(of_kid("a").as_bytes(), now()).is_ok());
    assert_eq!(one.verify(of_kid("b").as_bytes(), now()).err(), Some(TokenFault::UnknownKey));
    assert!(one.verify(of_claims(&claims()).as_bytes(), now()).is_ok(), "no kid: every key");
    let both = tokens(&[named("a"), secret_key()]);
    assert!(both.verify(of_kid("b").as_bytes(), now()).is_ok(), "a key without a kid");
}

#[test]
fn a_document_has_several_keys_and_only_those_that_fit_are_used() {
    let ec = jwk("ec.pub.pem");
    let document = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "ec", "x": ec.0, "y": ec.1, "alg": "ES256"},
        {"kty": "EC", "crv": "P-256", "kid": "enc", "x": ec.0, "y": ec.1, "use": "enc"},
        {"kty": "EC", "crv": "P-384", "kid": "long", "x": "AA", "y": "AA"},
        {"kty": "oct", "kid": "shared", "k": URL_SAFE_NO_PAD.encode(SECRET)},
        {"kty": "unheard-of", "kid": "new"},
    ]});
    let keys =
        keys::of_document(document.to_string().as_bytes(), &[Algorithm::ES256], "the document")
            .unwrap();
    let kids: Vec<_> = keys.iter().map(|key| key.kid.as_deref()).collect();
    assert_eq!(kids, [Some("ec")]);
    for wrong in ["{}", "[]", "{\"keys\":[]}", "", "<html>"] {
        let error = keys::of_document(wrong.as_bytes(), &[Algorithm::ES256], "the document");
        assert!(error.is_err(), "{wrong}");
    }
}

/// The coordinates of a point in a PEM file: the end of the DER form.
fn jwk(name: &str) -> (String, String) {
    let path = format!("{}/src/auth/token/tests/{name}", env!("CARGO_MANIFEST_DIR"));
    let key = DecodingKey::from_ec_pem(&std::fs::read(path).unwrap()).unwrap();
    let point = key.try_get_as_bytes().unwrap();
    (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]))
}

/// Symmetric keys may be in such a document, and a file of another kind may have any secret.
#[test]
fn a_bad_document_is_not_shown() {
    for document in [
        r#"{"keys":[{"kty":"oct","k":["hunter2"]}]}"#,
        r#"{"keys":[{"kty":"oct","alg":"hunter2","k":1}]}"#,
        r#"{"keys":"hunter2"}"#,
        r#""hunter2""#,
        "hunter2",
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, document).unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let table =
            AuthKey { jwks_file: Some(path), ..AuthKey::without_source(&[TokenAlgorithm::Hs256]) };
        let error = load(&[table]).err().expect("it has no key");
        assert!(!error.contains("hunter2"), "{document}: {error}");
    }
}

/// A core shares its turns fairly only if it knows what a token costs it.
#[test]
fn a_check_costs_as_much_as_its_signatures() {
    use crate::limits::{PUBLIC_KEY_CHECK_COST, SECRET_CHECK_COST};
    let es256 = pem_key("ec.pub.pem", &[TokenAlgorithm::Es256]);
    let tokens = tokens(&[secret_key(), es256.clone(), es256]);
    let _ = tokens.take_cost();
    tokens.verify(of_claims(&claims()).as_bytes(), now()).unwrap();
    assert_eq!(tokens.take_cost(), SECRET_CHECK_COST);
    let bogus = signed(r#"{"alg":"ES256"}"#, claims().to_string().as_bytes());
    assert!(tokens.verify(bogus.as_bytes(), now()).is_err());
    // A signature of the wrong length costs as much, and each key is tried.
    assert_eq!(tokens.take_cost(), 2 * PUBLIC_KEY_CHECK_COST);
    assert!(tokens.verify(b"a.b.c", now()).is_err());
    assert_eq!(tokens.take_cost(), 0);
}

#[test]
fn keys_that_do_not_fit_their_algorithms_are_refused_with_the_way_out() {
    use TokenAlgorithm::*;
    let short =
        AuthKey { secret_env: Some("SHORT".to_owned()), ..AuthKey::without_source(&[Hs256]) };
    let none = AuthKey { secret_env: Some("NONE".to_owned()), ..AuthKey::without_source(&[Hs256]) };
    let two = AuthKey { pem_file: Some("a".to_owned()), ..secret_key() };
    let missing =
        AuthKey { secret_file: Some("/nowhere".to_owned()), ..AuthKey::without_source(&[Hs256]) };
    let sourceless = AuthKey::without_source(&[Hs256]);
    for (table, wanted) in [
        (AuthKey { algorithms: vec![Rs256], ..secret_key() }, "a secret is for \"HS256\" alone"),
        (pem_key("rsa.pub.pem", &[Hs256]), "a public key never verifies \"HS256\""),
        (pem_key("rsa.pub.pem", &[Rs256, Es256]), "write a section for each key"),
        (pem_key("rsa.pub.pem", &[Es256]), "no public key in PEM for the algorithms listed"),
        (pem_key("rsa1024.pub.pem", &[Rs256]), "2048 bits or more"),
        (pem_key("rsa.pem", &[Rs256]), "has a private key"),
        (short, "the secret has 31 bytes; RFC 7518 asks for 32 or more"),
        (none, "the environment has no variable NONE"),
        (two, "it has several sources"),
        (sourceless, "it has no source"),
        (missing, "/nowhere: cannot be read"),
    ] {
        let error = load(&[secret_key(), table]).err().expect(wanted);
        assert!(error.starts_with("[[auth.key]] number 2: "), "{error}");
        assert!(error.contains(wanted), "{error}");
        assert!(!error.contains("0123456789"), "{error}");
    }
}

#[test]
fn a_client_without_a_token_is_refused_or_stays_in_its_namespace() {
    let decide = |anonymous: bool, client: Option<&str>, token: Option<&str>| {
        let auth = Auth { anonymous, ..Config::default().auth };
        let tokens = Tokens::new(load(&[secret_key()]).unwrap(), auth);
        let token = token.map(|token| Secret::new(token.as_bytes()));
        let token = token.as_ref().map(|token| (token, crate::auth::TokenPlace::Query));
        let (certificate, now) = (None, now());
        match tokens.identify(&Credentials { client, token, certificate, now }) {
            Decision::Identified(identity) => Ok(identity),
            Decision::Refused(refusal) => Err(refusal),
            Decision::Waiting(_) => panic!("it decides at once"),
        }
    };
    let good = of_claims(&claims());
    for anonymous in [false, true] {
        assert_eq!(&*decide(anonymous, None, Some(&good)).unwrap().client, "ann");
        assert_eq!(&*decide(anonymous, Some("ann"), Some(&good)).unwrap().client, "ann");
        let other = Err(Refusal::Token(TokenFault::OtherClient));
        assert_eq!(decide(anonymous, Some("bob"), Some(&good)), other);
        let malformed = Err(Refusal::Token(TokenFault::Malformed));
        assert_eq!(decide(anonymous, Some("ann"), Some("a.b.c")), malformed);
    }
    let missing = Err(Refusal::Token(TokenFault::Missing));
    assert_eq!(decide(false, Some("ann"), None), missing);
    let ann = decide(true, Some("ann"), None).unwrap();
    assert_eq!(ann, Identity::new("anon-ann", Grants::BySettings));
    assert!(anonymous::contains(&decide(true, None, None).unwrap().client));
    let long = "a".repeat(126);
    let refused = Err(Refusal::ConnectParams(VisitFault::Client));
    assert_eq!(decide(true, Some(&long), None), refused);
}

#[test]
fn nothing_of_a_secret_or_a_token_is_in_what_is_printed() {
    let keys = load(&[secret_key()]).unwrap();
    let key = keys.iter().next().unwrap();
    assert!(!format!("{:?}", key.decoding).contains("secret of"));
    assert_eq!(&*key.origin, "secret_env SECRET");
}
