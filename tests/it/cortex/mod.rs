//! The CORTEX plan on brains of every shape, from outside: what migrates, what is there afterwards, what is
//! refused.

mod brain;
mod paused;
mod refused;
mod shapes;
