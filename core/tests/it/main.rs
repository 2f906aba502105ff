//! The plan compiler, from outside.

mod accepted;
mod documents;
mod kinds;
mod refused;
mod robust;
