//! Step kinds of acme-steps. One file per kind; a kind registers itself, so that nothing else names it.

mod touch;
