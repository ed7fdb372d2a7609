//! Keys of changes: `Idempotency-Key`, with which a change that is asked for again is not done again.

/// Longest key, characters.
pub const MAX_KEY: usize = 64;

/// Requests that take no key: what they carry or answer with is secret and is not kept, not as a digest either; or they are
/// files, which are named by their digest; or questions.
const UNKEYED: [(&str, &str); 12] = [
    ("POST", "/api/v1/login"),
    ("POST", "/api/v1/logout"),
    ("POST", "/api/v1/password"),
    ("POST", "/api/v1/accounts"),
    ("POST", "/api/v1/accounts/{name}/password"),
    ("POST", "/api/v1/tokens"),
    ("POST", "/api/v1/images"),
    ("PUT", "/api/v1/images/{digest}/bios"),
    ("PUT", "/api/v1/blobs"),
    ("PUT", "/api/v1/nodes/{name}/bmc"),
    ("POST", "/api/v1/auth/can-i"),
    ("POST", "/api/v1/backup"),
];

/// Whether a request is a change that takes a key. The path may be that of a route, with `{name}`, or of a request.
pub fn takes_key(method: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let same = |known: &str| {
        let fits = |(known, part): (&str, &str)| known.starts_with('{') || known == part;
        known.split('/').count() == path.split('/').count() && known.split('/').zip(path.split('/')).all(fits)
    };
    !matches!(method, "GET" | "HEAD") && !UNKEYED.iter().any(|(verb, known)| *verb == method && same(known))
}

/// Whether a text can be a key: 1 to 64 letters, digits, `- . _`.
pub fn is_key(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_take_keys_but_for_secrets_and_files() {
        for (method, path) in [
            ("POST", "/api/v1/vs"),
            ("POST", "/api/v1/vs?dry_run=true"),
            ("PATCH", "/api/v1/vs/web"),
            ("DELETE", "/api/v1/accounts/ann"),
            ("POST", "/api/v1/accounts/ann/role"),
            ("POST", "/api/v1/images/ab/activate"),
            ("DELETE", "/api/v1/tokens/ci"),
        ] {
            assert!(takes_key(method, path), "{method} {path}");
        }
        for (method, path) in [
            ("GET", "/api/v1/vs"),
            ("POST", "/api/v1/login"),
            ("POST", "/api/v1/tokens?x=y"),
            ("POST", "/api/v1/accounts/ann/password"),
            ("POST", "/api/v1/accounts/{name}/password"),
            ("PUT", "/api/v1/images/ab/bios"),
            ("PUT", "/api/v1/nodes/node-1/bmc"),
            ("POST", "/api/v1/auth/can-i"),
        ] {
            assert!(!takes_key(method, path), "{method} {path}");
        }
    }

    #[test]
    fn a_key_is_short_and_plain() {
        assert!(is_key("a") && is_key("0f-1_2.B") && is_key(&"x".repeat(MAX_KEY)));
        for bad in ["", "a b", "ä", "a\n", "a/b", &"x".repeat(MAX_KEY + 1)] {
            assert!(!is_key(bad), "{bad:?}");
        }
    }
}
