//! A process as the system sees it: how it ends ([`exit`]), how it is told to end (`shutdown`, a feature, because it needs
//! an async runtime), the children it starts ([`group`]), the files it leaves ([`mod@file`]) and locks ([`lock`]).

#![forbid(unsafe_code)]

pub mod exit;
pub mod file;
pub mod group;
pub mod lock;
#[cfg(feature = "shutdown")]
pub mod shutdown;
