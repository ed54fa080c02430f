//! A service that decides on logins over HTTP.

mod answer;
mod callback;
mod question;

pub use answer::{Answered, read_answer};
pub use callback::{AnswerStyle, CallbackSettings, HttpCallback};
pub use question::QuestionStyle;
