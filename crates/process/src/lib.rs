//! A process as the system sees it: how it ends ([`exit`]), how it is told to end (`shutdown`, a feature, because it needs
//! an async runtime), the children it starts ([`group`]), the files it leaves ([`mod@file`]), locks ([`lock`]) and shows to
//! nobody else (`private`, a feature as well).

#![forbid(unsafe_code)]

pub mod exit;
pub mod file;
pub mod group;
pub mod lock;
#[cfg(feature = "private")]
pub mod private;
#[cfg(feature = "shutdown")]
pub mod shutdown;
