//! vulnrelay on one machine: the same functions in one process, with stand-ins for AWS, and the `vulnrelay` command.

pub mod aws;
pub mod clock;
pub mod command;
pub mod demo;
pub mod export;
pub mod front;
pub mod scanners;
pub mod secrets;
pub mod stack;
pub mod summary;
pub mod terminal;
