//! The plan of the consensus database, from outside: its reader at every stage, its shapes there and back.

mod database;
mod reader;
mod shapes;
mod stages;
