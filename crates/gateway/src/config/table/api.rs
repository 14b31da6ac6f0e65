//! `[[server.api_key]]`: who may use the private API. No key is a value here: a table names the
//! file or the variable that holds it.

use crate::config::{ApiScope, keys::section};

section! {
    /// A key of the private API: write the section once for each, in a file, with secret_file or
    /// secret_env. Without one, whoever can reach the API may use all of it. Two keys with the same
    /// scopes let an application change from one to the other. At most 64.
    "server.api_key", InFile("name") => ApiKey

    /// Its name in log lines and metrics: 1 to 64 letters, digits, "-", "_" and ".".
    name [Restart]: String = OptionalText("shop");

    /// The routes that it is for: "publish" sends events; "read" reads topics, clients, metrics and
    /// the description of the API; "admin" closes and revokes clients. No scope includes another.
    scopes [Restart]: Vec<ApiScope> = Words(ApiScope::WORDS, "publish");

    /// A file with the key: 32 to 512 letters, digits and "-._~+/=", such as those of "openssl rand
    /// -hex 32". One line end at its end does not count. It is read again when it changes, and at
    /// SIGHUP.
    secret_file [Restart]: Option<String> = OptionalText("/etc/ringway/shop.key");

    /// The environment variable with the key. Its name must not begin with RINGWAY_.
    secret_env [Restart]: Option<String> = OptionalText("SHOP_API_KEY");
}
