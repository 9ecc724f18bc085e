//! The whole program on real parts: sshd, dropbear, small file systems, real shells. `tests/run` makes the place.

mod action;
mod action_faults;
mod action_screen;
mod archive_away;
mod audit;
mod audit_faults;
mod bad_host;
mod bad_network;
mod busybox;
mod catalogue;
mod central;
mod checks;
mod cli;
mod faults;
mod hosts;
mod identity;
mod keys;
mod log_view;
mod office;
mod purge;
mod read_only;
mod screen;
mod store;
mod support;
mod systemd;
mod trust;
