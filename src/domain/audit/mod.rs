//! The audit: what was done, by whom, why and with whose consent, in a form that shows when it was changed.

pub mod canonical;
pub mod chain;
pub mod compare;
pub mod digest;
pub mod head;
pub mod record;
pub mod rfc5424;
