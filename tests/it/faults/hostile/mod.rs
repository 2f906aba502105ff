//! J: plans that mean harm. None makes the program panic, hang or take all memory; none touches what it does not name;
//! each ends with a documented code.

mod child;
mod floods;
mod links;
mod names;
mod paths;
mod scripts;
