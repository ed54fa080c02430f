//! A service that decides over HTTP: on logins, and on what clients may publish and subscribe to.

mod answer;
mod authority;
mod callback;
mod question;

pub use answer::{Answered, read_answer};
pub use authority::{HttpAuthority, TopicQuestion};
pub use callback::{AnswerStyle, CallbackSettings, HttpCallback};
pub use question::QuestionStyle;
