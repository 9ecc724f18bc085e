//! Actions: what may be done to a host, what exactly it would do, and who must agree.

pub mod book;
pub mod catalogue;
pub mod estimate;
pub mod guard;
#[cfg(test)]
mod guard_tests;
pub mod objects;
pub mod outlook;
pub mod plan;
pub mod policy;
pub mod purge;
pub mod purge_program;
pub mod remote;
pub mod shipping;
pub mod verdict;

use super::fleet::name_type;

name_type!(
    /// An action of the catalogue, such as `logs.rotate`.
    ActionId
);
name_type!(
    /// A person of the policy; one person may have several keys.
    PersonName
);
name_type!(
    /// What a person may do, by the policy.
    RoleName
);
name_type!(
    /// A hold of the policy.
    HoldName
);
