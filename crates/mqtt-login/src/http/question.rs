//! What a service is asked.

use mqtt_access::login::Applicant;
use mqtt_codec::Version;
use mqtt_http::Request;
use serde_json::{Map, Value};

/// How the fields are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionStyle {
    /// POST with a JSON object.
    PostJson,
    /// POST with a form.
    PostForm,
    /// GET with the fields in the query, where the services' own logs will have them.
    Get,
}

/// The fields, without those that the client does not have.
pub(super) struct Question<'a>(pub(super) Vec<(&'static str, &'a str)>);

impl<'a> Question<'a> {
    /// `None` if the password is no text, which no service could be told faithfully.
    pub(super) fn new(applicant: &Applicant<'a>, address: &'a str) -> Option<Self> {
        let password = applicant.password.map(core::str::from_utf8).transpose().ok()?;
        let fields = [
            ("clientid", Some(applicant.client_id)),
            ("username", applicant.username),
            ("password", password),
            ("address", Some(address).filter(|address| !address.is_empty())),
            ("listener", Some(applicant.listener)),
            ("version", Some(version(applicant.version))),
            ("cert_common_name", applicant.certificate_common_name),
            ("cert_subject", applicant.certificate_subject),
        ];
        Some(Self(fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()))
    }

    pub(super) fn to_json(&self) -> String {
        let fields = self.0.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
        Value::Object(fields.collect::<Map<_, _>>()).to_string()
    }

    fn to_form(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    pub(super) fn request(&self, style: QuestionStyle) -> Request {
        match style {
            QuestionStyle::PostJson => Request::post("application/json", self.to_json()),
            QuestionStyle::PostForm => Request::post("application/x-www-form-urlencoded", self.to_form()),
            QuestionStyle::Get => Request::get().query(self.to_form()),
        }
    }
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::V3_1 => "3.1",
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5.0",
    }
}
