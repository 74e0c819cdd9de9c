//! A server of pages, asked over real sockets.

mod client;
mod digits;
mod entry;
mod events;
mod limits;
