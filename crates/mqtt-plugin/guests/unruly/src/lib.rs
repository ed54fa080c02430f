//! A plug-in for tests, which does whatever the topic of a message says, most of it wrong.

use std::cell::Cell;
use std::hint::black_box;

wit_bindgen::generate!({ world: "plugin", path: "../../wit" });

use exports::martlet::plugin::hooks::{
    Client, Events, Guest, Login, Message, Opinion, Reason, Refusal, Subscription, Terms, Verdict,
};
use martlet::plugin::host::{Level, log};
use martlet::plugin::types::{Properties, Qos};

struct Unruly;

thread_local! {
    static ASKED: Cell<u32> = const { Cell::new(0) };
}

fn forever() -> ! {
    let mut turn = 0_u64;
    loop {
        turn = black_box(turn.wrapping_add(1));
    }
}

/// Few instructions that take long.
fn slowly() -> ! {
    let mut block = vec![0_u8; 512 << 10];
    loop {
        block.fill(black_box(1));
        black_box(&block);
    }
}

fn deeply(depth: u64) -> u64 {
    let room = black_box([depth; 32]);
    if depth == u64::MAX { 0 } else { black_box(deeply(depth + 1)) + room[0] }
}

fn hungrily() -> ! {
    let mut blocks = Vec::new();
    loop {
        blocks.push(black_box(vec![1_u8; 64 << 10]));
    }
}

/// A list whose elements all stand for the same text, so that it is a thousand times larger where it is read.
fn echoing(message: Message) -> Message {
    let text = String::leak("x".repeat(60_000));
    // SAFETY: none of these is ever dropped, since the host refuses to read them and forgets this instance.
    let again = || unsafe { String::from_raw_parts(text.as_ptr().cast_mut(), text.len(), text.len()) };
    let user_properties = (0..1_000).map(|_| (again(), again())).collect();
    Message { properties: Properties { user_properties, ..message.properties }, ..message }
}

fn told(message: Message, payload: impl Into<Vec<u8>>) -> Verdict {
    Verdict::Rewrite(Message { payload: payload.into(), ..message })
}

impl Guest for Unruly {
    fn start(settings: String) -> Result<Events, String> {
        match settings.as_str() {
            "refuse" => return Err("these settings are wrong".to_owned()),
            "trap" => panic!(),
            "loop" => forever(),
            "publish only" => return Ok(Events::PUBLISH),
            _ => {}
        }
        Ok(Events::all())
    }

    fn authenticate(login: Login) -> Opinion {
        match login.client.client_id.as_str() {
            "known" if login.password.as_deref() == Some(b"secret") => Opinion::Admit,
            "known" => Opinion::Refuse(Refusal { reason: 134, text: Some("wrong word".to_owned()) }),
            "trap" => panic!(),
            _ => Opinion::None,
        }
    }

    fn connect(client: Client, terms: Terms) -> Result<Terms, Refusal> {
        match client.client_id.as_str() {
            "banned" => Err(Refusal { reason: 138, text: None }),
            "short" => Ok(Terms { keep_alive_s: 7, session_expiry_s: 9 }),
            "nonsense" => Err(Refusal { reason: 0, text: None }),
            _ => Ok(terms),
        }
    }

    fn publish(client: Client, message: Message) -> Verdict {
        let asked = ASKED.with(|asked| {
            asked.set(asked.get() + 1);
            asked.get()
        });
        match message.topic.as_str() {
            "trap" => panic!(),
            "loop" => forever(),
            "slow" => slowly(),
            "deep" => told(message, deeply(0).to_string()),
            "hungry" => hungrily(),
            "echo" => Verdict::Rewrite(echoing(message)),
            "wildcard" => Verdict::Rewrite(Message { topic: "a/#".to_owned(), ..message }),
            "long" => {
                let properties = Properties { content_type: Some("x".repeat(70_000)), ..message.properties };
                Verdict::Rewrite(Message { properties, ..message })
            }
            "success" => Verdict::Reject(0),
            "no such reason" => Verdict::Reject(255),
            "refused" => Verdict::Reject(151),
            "swallowed" => Verdict::Swallow,
            "noisy" => {
                (0..100).for_each(|line| log(Level::Info, &format!("line {line} {}", "x".repeat(2000))));
                Verdict::Pass
            }
            "asked" => told(message, asked.to_string()),
            "who" => {
                told(message, format!("{:?} {:?} {:?}", client.client_id, client.user_name, client.address))
            }
            "all" => {
                let mut message = message;
                message.properties.user_properties.push(("seen".to_owned(), "yes".to_owned()));
                Verdict::Rewrite(message)
            }
            _ => Verdict::Pass,
        }
    }

    fn subscribe(_: Client, subscription: Subscription) -> Result<Subscription, Reason> {
        match subscription.filter.as_str() {
            "trap" => panic!(),
            "refused" => Err(135),
            "lower" => Ok(Subscription { qos: Qos::AtMostOnce, ..subscription }),
            "nonsense" => Ok(Subscription { filter: "a/#/b".to_owned(), ..subscription }),
            _ => Ok(subscription),
        }
    }

    fn unsubscribe(_: Client, filter: String) -> Result<String, Reason> {
        if filter == "kept" { Err(131) } else { Ok(filter) }
    }

    fn will(client_id: String, message: Message) -> Option<Message> {
        match client_id.as_str() {
            "withheld" => None,
            "trap" => panic!(),
            "wildcard" => Some(Message { topic: "a/#".to_owned(), ..message }),
            _ => Some(Message { payload: b"rewritten".to_vec(), ..message }),
        }
    }
}

export!(Unruly);
