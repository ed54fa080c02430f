use super::*;

struct One {
    name: &'static str,
    verifier: Verifier,
}

impl Users for One {
    fn verifier(&self, mechanism: Mechanism, username: &str) -> Option<Verifier> {
        (self.name == username && self.verifier.mechanism == mechanism).then(|| self.verifier.clone())
    }

    fn secret(&self) -> &[u8] {
        b"a secret of the server"
    }
}

fn user() -> One {
    let salt = from_base64("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
    One { name: "user", verifier: Verifier::derive(Mechanism::Sha256, b"pencil", &salt, 4096) }
}

/// The example of RFC 7677, section 3.
#[test]
fn the_exchange_of_rfc_7677_succeeds() {
    let mut server = ServerExchange::new(Mechanism::Sha256);
    let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let challenge = server.challenge(first, &user(), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    let expected = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert_eq!(challenge, Outcome::Challenge(expected.into()));
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let message = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".into();
    assert_eq!(server.step(last.as_bytes(), &user()), Outcome::Proved { username: "user".into(), message });
    assert_eq!(server.step(last.as_bytes(), &user()), Outcome::Refused, "an exchange ends");
}

/// Like the one above, with one thing wrong each.
#[test]
fn an_exchange_with_anything_wrong_is_refused() {
    let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let good = format!("c=biws,r=rOprNGfwEbeRWgbNEkqO{nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    for last in [
        good.replace("p=dHz", "p=eHz"),
        good.replace("k0,", "k1,"),
        good.replace("biws", "eSws"),
        good.replace(",p=", ",x="),
        "c=biws".to_owned(),
        String::new(),
    ] {
        let mut server = ServerExchange::new(Mechanism::Sha256);
        server.challenge(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", &user(), nonce);
        assert_eq!(server.step(last.as_bytes(), &user()), Outcome::Refused, "{last}");
    }
    for first in [
        "",
        "p=tls-unique,,n=user,r=abcdefgh",
        "n,a=other,n=user,r=abcdefgh",
        "n,,n=,r=abcdefgh",
        "n,,n=u=x,r=abcdefgh",
        "n,,n=user,r=short",
        "n,,m=x,n=user,r=abcdefgh",
    ] {
        assert_eq!(
            ServerExchange::new(Mechanism::Sha256).step(first.as_bytes(), &user()),
            Outcome::Refused,
            "{first}"
        );
    }
}

#[test]
fn a_user_who_does_not_exist_gets_the_same_kind_of_challenge_every_time() {
    let challenge = |name: &str| match ServerExchange::new(Mechanism::Sha256).challenge(
        format!("n,,n={name},r=abcdefgh").as_bytes(),
        &user(),
        "nonce",
    ) {
        Outcome::Challenge(challenge) => String::from_utf8(challenge).expect("text"),
        other => panic!("{other:?}"),
    };
    assert_eq!(challenge("nobody"), challenge("nobody"));
    assert_ne!(challenge("nobody"), challenge("nobody2"));
    assert!(challenge("nobody").starts_with("r=abcdefghnonce,s="));
}

#[test]
fn verifiers_are_written_and_read_back() {
    for mechanism in Mechanism::ALL {
        let verifier = Verifier::derive(mechanism, b"p", b"saltsalt", 4096);
        assert_eq!(Verifier::parse(&verifier.to_text()), Ok(verifier.clone()));
        assert!(!format!("{verifier:?}").contains(&base64(&verifier.stored_key)));
    }
}

/// The example of RFC 7677, section 3, from the other side.
#[test]
fn the_client_of_rfc_7677_says_what_the_standard_says() {
    let mut client = ClientExchange::new(Mechanism::Sha256, "user", b"pencil");
    assert_eq!(client.first_with("rOprNGfwEbeRWgbNEkqO"), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(client.answer(challenge.as_bytes()).as_deref(), Some(last.as_bytes()));
    assert!(client.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    assert!(!client.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), "an exchange ends");
}

#[test]
fn a_client_gives_up_on_a_server_that_is_not_what_it_should_be() {
    let good = "r=abcdefghXYZ,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    for challenge in [
        good.replace("abcdefghXYZ", "abcdefgh"),
        good.replace("abcdefgh", "other"),
        good.replace("4096", "1"),
        good.replace("4096", "4000000000"),
        good.replace("s=", "x="),
        String::new(),
    ] {
        let mut client = ClientExchange::new(Mechanism::Sha256, "user", b"pencil");
        client.first_with("abcdefgh");
        assert_eq!(client.answer(challenge.as_bytes()), None, "{challenge}");
        assert_eq!(client.answer(good.as_bytes()), None, "an exchange ends");
    }
    for last in ["", "v=", "v=AAAA", "e=other-error"] {
        let mut client = ClientExchange::new(Mechanism::Sha256, "user", b"pencil");
        client.first_with("abcdefgh");
        client.answer(good.as_bytes()).expect("a challenge");
        assert!(!client.verify(last.as_bytes()), "{last}");
    }
}

#[test]
fn both_sides_understand_each_other_whatever_the_name() {
    for mechanism in Mechanism::ALL {
        let name = "a=b,c";
        let users = One { name, verifier: Verifier::new(mechanism, b"secret").expect("random numbers") };
        let mut client = ClientExchange::new(mechanism, name, b"secret");
        let mut server = ServerExchange::new(mechanism);
        let first = client.first().expect("random numbers");
        let Outcome::Challenge(challenge) = server.step(&first, &users) else { panic!("refused") };
        let proof = client.answer(&challenge).expect("a challenge");
        let Outcome::Proved { username, message } = server.step(&proof, &users) else { panic!("refused") };
        assert_eq!(username, name);
        assert!(client.verify(&message));
    }
}
