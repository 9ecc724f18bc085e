//! Proof: what process accounting, cron's log and systemd say of a run, and what they say together.

pub mod acct;
pub mod coverage;
pub mod cpu;
pub mod deeds;
pub mod due;
pub mod evidence;
pub mod gunzip;
pub mod history;
pub mod join;
pub mod known;
pub mod listed;
pub mod listening;
pub mod log_reach;
pub mod marks;
pub mod own;
pub mod pack;
pub mod ran;
pub mod run;
pub mod sources;
pub mod still;
pub mod unit_journal;
pub mod usual;
pub mod verdict;
pub mod who;
pub mod word;
