//! The whole program on real parts: sshd, dropbear, small file systems, real shells. `tests/run` makes the place.

mod checks;
mod cli;
mod faults;
mod hosts;
mod screen;
mod store;
mod support;
mod trust;
