//! The plan compiler, from outside.

mod accepted;
mod kinds;
mod refused;
mod robust;
