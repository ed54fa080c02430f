use super::*;
use crate::scram::Mechanism;

/// Made with mosquitto_passwd 2.0.11 (`-H sha512-pbkdf2`, `-H sha512`) and with the reference implementation of argon2.
const HASHES: &[(&str, &str)] = &[
    (
        "secret",
        "$7$101$VfCN2QBxR393E5xb$12JnNYUPVA04OLbzceC4ZJqmWhBrmDYr/1r7AzVcrOJgIZZjF0sTQo4f+O6tyAF7FDoYJNc/Tn27Cj+/QO8hlQ==",
    ),
    (
        "secret",
        "$6$V7Ma+NcEiAngp6ki$YSTr+k6FmE97RMzdz/SX4CyC4kbyLMrcl98gngLnZ+w3s7EQ2zR3JwxB7+6LsA48h7An8Lxor4BFMNFml92CCw==",
    ),
    ("password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"),
];

#[test]
fn hashes_of_other_makers_accept_their_password_and_no_other() {
    for (password, text) in HASHES {
        let hash = PasswordHash::parse(text).expect("a hash");
        assert_eq!(hash.to_text(), *text);
        assert!(hash.verify(password.as_bytes()), "{text}");
        for wrong in ["", "Secret", "secret\0", "passwore"] {
            assert!(!hash.verify(wrong.as_bytes()), "{text} {wrong:?}");
        }
    }
}

#[test]
fn new_hashes_differ_and_are_read_back() {
    let [a, b] = [0, 1].map(|_| PasswordHash::new(b"p").expect("random numbers"));
    assert_ne!(a.to_text(), b.to_text());
    assert!(a.verify(b"p") && PasswordHash::parse(&b.to_text()).expect("a hash").verify(b"p"));
    for mechanism in Mechanism::ALL {
        let verifier = Verifier::new(mechanism, b"p").expect("random numbers");
        let hash = PasswordHash::parse(&verifier.to_text()).expect("a verifier");
        assert!(hash.verify(b"p") && !hash.verify(b"q"));
    }
}

#[test]
fn what_is_no_hash_is_refused_without_its_text() {
    for text in [
        "secret",
        "",
        "$7$",
        "$7$0$AAAA$AAAA",
        "$6$x$y",
        "$argon2id$v=19$m=1,t=1,p=1$c29tZXNhbHQ$AAAA",
        "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "SCRAM-SHA-256$1:AAAAAAAAAAA=$AAAA:AAAA",
    ] {
        let error = PasswordHash::parse(text).expect_err(text);
        assert!(text.is_empty() || !error.to_string().contains(text));
    }
}

#[test]
fn a_file_is_read_whole_or_not_at_all() {
    let text = format!("# users\nalice:{}\n\nbob:{}\r\n", HASHES[0].1, HASHES[1].1);
    let file = PasswordFile::parse(&text).expect("a good file");
    assert_eq!((file.len(), file.user("bob").map(|user| user.line)), (2, Some(4)));
    assert!(file.user("Alice").is_none(), "names are compared byte by byte");
    let errors =
        PasswordFile::parse("alice:hunter2\nnobody\n:x\nalice:hunter2\n").expect_err("four mistakes");
    let said: String = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 4);
    assert!(!said.contains("hunter2") && said.contains("martlet passwd"), "{said}");
}

#[test]
fn lines_are_set_and_removed_where_they_stand() {
    let hash = PasswordHash::parse(HASHES[0].1).expect("a hash");
    let text = set_line("# head\nalice:old\nbob:b\n", "alice", &hash).expect("a name");
    assert_eq!(text, format!("# head\nalice:{}\nbob:b\n", HASHES[0].1));
    let text = set_line("", "carol", &hash).expect("a name");
    assert_eq!(without_line(&text, "carol").as_deref(), Some(""));
    assert_eq!(without_line("bob:b\n", "alice"), None);
    for wrong in ["", "a:b", "#a", " a", "a\n"] {
        assert!(set_line("", wrong, &hash).is_err(), "{wrong:?}");
    }
}

#[test]
fn nothing_of_a_hash_is_shown() {
    let hash = PasswordHash::parse(HASHES[0].1).expect("a hash");
    let user = User { hash, line: 1 };
    assert_eq!(format!("{user:?}"), "User { hash: PasswordHash { scheme: \"sha512-pbkdf2\", .. }, line: 1 }");
}
