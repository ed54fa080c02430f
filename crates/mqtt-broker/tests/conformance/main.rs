//! The broker on the wire, statement by statement, over pipes in memory and with the clock under control.
//!
//! Each test is named after what is true and cites the statements that it proves: `[MQTT-…]` for 5.0,
//! `[MQTT3-…]` for 3.1.1. Section numbers stand for rules that the standards do not number.

mod access;
mod alias;
mod authentication;
mod connack;
mod connect;
mod connect_malformed;
mod disconnect;
mod filters;
mod flow_control;
mod harness;
mod keep_alive;
mod limits;
mod malformed;
mod packet_size;
mod properties;
mod publish;
mod qos_in;
mod qos_out;
mod request_response;
mod resume;
mod retain;
mod session;
mod shared;
mod subscribe;
mod subscription_options;
mod take_over;
mod transports;
mod unsubscribe;
mod v3;
mod will;
