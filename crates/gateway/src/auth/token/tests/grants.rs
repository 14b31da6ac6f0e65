//! What a token grants, compared with a naive reading of its claims.

use proptest::prelude::*;

use super::*;
use crate::auth::Act;

/// A name matches a pattern that is the name, or whose beginning before the `*` it has.
fn naive(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    })
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", ".", "é"]), 1..4)
        .prop_map(|letters| letters.concat())
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    let pattern =
        (name(), prop::sample::select(vec!["", "*"])).prop_map(|(name, rest)| name + rest);
    prop::collection::vec(pattern, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_token_grants_what_it_lists_and_nothing_else(
        subscribe in patterns(),
        publish in patterns(),
        notify in patterns(),
        name in name(),
    ) {
        let ringway = json!({"subscribe": subscribe, "publish": publish, "notify": notify});
        let token = of_claims(&json!({"sub": "ann", "exp": NOW + 60, "ringway": ringway}));
        let grants = verify(&token).unwrap().grants;
        let clients = Config::default().clients;
        for (act, listed) in
            [(Act::Subscribe, &subscribe), (Act::Publish, &publish), (Act::Notify, &notify)]
        {
            let is_allowed = grants.names(act, &clients).allow(&name);
            prop_assert_eq!(is_allowed, naive(listed, &name), "{:?} {} {:?}", act, name, listed);
        }
    }
}

#[test]
fn a_token_without_lists_grants_nothing() {
    let clients = Config::default().clients;
    for ringway in [None, Some(json!({})), Some(Value::Null)] {
        let mut claims = claims();
        if let Some(ringway) = ringway {
            claims["ringway"] = ringway;
        }
        let identity = verify(&of_claims(&claims)).unwrap();
        for act in [Act::Subscribe, Act::Publish, Act::Notify] {
            assert!(!identity.grants.names(act, &clients).allow("a"), "{claims}");
        }
    }
    let listed = json!({"sub": "ann", "exp": NOW + 60, "ringway": {"topics": ["news", "a b"]}});
    assert_eq!(verify(&of_claims(&listed)).unwrap().topics, ["news", "a b"].map(Box::from));
}
