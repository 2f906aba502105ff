//! The plan of the thought engine, from outside: its memory there and back under a program that writes all the time, killed
//! on the way, what is wrong with its backups, and which of them stay.

mod kept;
mod killed;
mod living;
mod memory;
mod wrong;
