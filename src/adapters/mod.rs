//! The world: clocks, files, hosts, the store.

pub mod action_files;
pub mod audit;
pub mod clock;
pub mod config_file;
pub mod crash;
pub mod evidence;
pub mod notify;
pub mod own_log;
pub mod own_machine;
pub mod policy_file;
pub mod scenario;
pub mod ssh_config;
pub mod ssh_sign;
pub mod store;
pub mod transport;
