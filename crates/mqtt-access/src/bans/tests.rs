use super::*;

fn whom(text: &str) -> Banned {
    text.parse().expect("a ban")
}

fn ban(bans: &Bans, text: &str, seconds: Option<u64>, now: Instant) {
    let until = seconds.map(|seconds| now + Duration::from_secs(seconds));
    bans.add(Ban { until, ..Ban::of(whom(text)) }, now).expect("room");
}

#[test]
fn a_ban_holds_until_it_ends() {
    let (bans, now) = (Bans::default(), Instant::now());
    for text in ["client=c", "user=u", "address=10.0.0.0/8"] {
        ban(&bans, text, Some(10), now);
    }
    let address = "10.1.1.1".parse().expect("an address");
    for (moment, expected) in [(now, true), (now + Duration::from_secs(10), false)] {
        assert_eq!(bans.forbid("c", None, moment), expected);
        assert_eq!(bans.forbid("x", Some("u"), moment), expected);
        assert_eq!(bans.shut_out(address, moment), expected);
        assert_eq!(bans.list(moment).len(), if expected { 3 } else { 0 });
    }
    assert!(!bans.forbid("u", Some("c"), now));
}

#[test]
fn an_address_is_found_in_networks_of_every_length() {
    let (bans, now) = (Bans::default(), Instant::now());
    let shut_out = |address: &str| bans.shut_out(address.parse().expect("an address"), now);
    for (network, inside, outside) in [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("203.0.113.77/24", "::ffff:203.0.113.9", "203.0.114.1"),
        ("2001:db8::/32", "2001:db8:1::9", "2001:db9::1"),
    ] {
        ban(&bans, &format!("address={network}"), None, now);
        assert!(shut_out(inside) && !shut_out(outside), "{network}");
    }
    ban(&bans, "address=0.0.0.0/0", None, now);
    assert!(shut_out("8.8.8.8") && !shut_out("2001:db9::1"));
    assert!(bans.lift(&whom("address=0.0.0.0/0")) && !bans.lift(&whom("address=0.0.0.0/0")));
    assert!(!shut_out("8.8.8.8") && shut_out("192.0.2.1"));
}

#[test]
fn a_list_says_why_how_long_and_on_whose_order() {
    let (bans, now) = (Bans::default(), Instant::now());
    let shut = Ban::of(whom("user=eve")).until(now + Duration::from_secs(60)).because("guesses");
    bans.add(shut.clone(), now).expect("room");
    assert_eq!(bans.list(now), [shut]);
    let later = now + Duration::from_secs(20);
    assert_eq!(bans.list(later)[0].time_left(later), Some(Duration::from_secs(40)));
    assert!(!bans.lift_of(&whom("user=eve"), Origin::Configuration));
    assert!(bans.lift_of(&whom("user=eve"), Origin::Program) && bans.is_empty());
    let long = Ban::of(whom("user=eve")).because(&"x".repeat(BAN_REASON_BYTES_MAX + 1));
    assert_eq!(bans.add(long, now), Err(BanRefused::ReasonTooLong));
}

#[test]
fn bans_are_bounded_in_number_and_bytes_and_those_that_have_ended_make_room() {
    let (bans, now) = (Bans::new(1000), Instant::now());
    for number in 0..1000 {
        ban(&bans, &format!("client={number}"), Some(1), now);
    }
    let more = || Ban::of(whom("client=more"));
    assert_eq!(bans.add(more(), now), Err(BanRefused::TooMany));
    ban(&bans, "client=1", Some(1), now); // one that is there is only changed
    let later = now + Duration::from_secs(1);
    assert_eq!(bans.add(more(), later), Ok(()));
    assert_eq!(bans.len(), 1);
    let name = |number: usize| Banned::User(format!("{number:060000}").into());
    let added = (0..1000).take_while(|number| bans.add(Ban::of(name(*number)), later).is_ok()).count();
    assert_eq!(added, (BANS_TEXT_BYTES_MAX - "more".len()) / 60_000);
    assert_eq!(bans.add(Ban::of(name(added)), later), Err(BanRefused::TooLong));
}

#[test]
fn clients_that_flap_take_half_of_the_room_at_most() {
    let (bans, now) = (Bans::new(10), Instant::now());
    let flaps = |number: usize| {
        bans.add(Ban::of(Banned::Client(number.to_string().into())).from(Origin::Flapping), now)
    };
    let added = (0..10).filter(|number| flaps(*number).is_ok()).count();
    assert_eq!(added, 5);
    ban(&bans, "user=eve", None, now);
}

#[test]
fn what_is_no_ban_is_refused() {
    for wrong in ["", "c", "client=", "user=", "address=x", "address=10.0.0.0/33", "group=a"] {
        assert!(parse_ban(wrong).is_err(), "{wrong}");
    }
    assert!(parse_ban("user=u for ever").is_err() && parse_ban("user=u for -1s").is_err());
    for text in ["client=a=b", "user=u", "address=10.0.0.0/8", "address=2001:db8::1"] {
        assert_eq!(text.parse::<Banned>().map(|ban| ban.to_string()), Ok(text.to_owned()));
    }
    let read = parse_ban("client=c d for 60s because it guesses").expect("a ban");
    assert_eq!(read, (whom("client=c d"), Some(Duration::from_secs(60)), "it guesses".into()));
    assert_eq!(parse_ban("user=u because of it").expect("a ban"), (whom("user=u"), None, "of it".into()));
}
