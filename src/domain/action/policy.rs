//! The policy: who may do what where, whose consent it needs, and what is held.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::NaiveDate;

use super::{ActionId, HoldName, PersonName, RoleName};
use crate::domain::audit::digest::Digest;
use crate::domain::fleet::GroupName;

/// How grave an action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Changes nothing that anybody would miss.
    Safe,
    /// Something stops or slows down for a while.
    Disruptive,
    /// Something is gone afterwards.
    Destructive,
}

impl Severity {
    pub const NAMED: [(&str, Severity); 3] =
        [("safe", Severity::Safe), ("disruptive", Severity::Disruptive), ("destructive", Severity::Destructive)];

    pub fn word(self) -> &'static str {
        match self {
            Severity::Safe => "safe",
            Severity::Disruptive => "disruptive",
            Severity::Destructive => "destructive",
        }
    }

    /// The approvals that it needs where the policy says nothing of it.
    pub fn approvals_by_default(self) -> u32 {
        match self {
            Severity::Safe | Severity::Disruptive => 0,
            Severity::Destructive => 1,
        }
    }
}

/// A word for actions: an id, `logs.*`, or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionPattern(String);

impl ActionPattern {
    /// `None` for what could never match an id.
    pub fn parse(text: &str) -> Option<Self> {
        let stem = text.strip_suffix(".*").unwrap_or(text);
        (text == "*" || ActionId::parse(stem).is_ok()).then(|| Self(text.to_owned()))
    }

    pub fn matches(&self, action: &ActionId) -> bool {
        match self.0.strip_suffix('*') {
            Some(stem) => action.as_str().starts_with(stem),
            None => action.as_str() == self.0,
        }
    }
}

/// Which hosts something is about: those in one of these groups, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    Groups(Vec<GroupName>),
}

impl Scope {
    pub fn holds(&self, groups: &[GroupName]) -> bool {
        match self {
            Scope::All => true,
            Scope::Groups(of) => of.iter().any(|group| groups.contains(group)),
        }
    }
}

/// One person, whatever accounts and keys they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub name: PersonName,
    /// Accounts on the machines that Dogwatch runs on.
    pub users: Vec<String>,
    /// Public keys, as lines of authorized_keys without options.
    pub keys: Vec<String>,
    pub roles: Vec<RoleName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub name: RoleName,
    pub may: Vec<ActionPattern>,
    pub approves: Vec<ActionPattern>,
    pub scope: Scope,
    /// Whether its people may act alone where nobody else can be reached.
    pub breaks_glass: bool,
}

/// How many must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub actions: Vec<ActionPattern>,
    pub scope: Scope,
    pub approvals: u32,
}

/// Something that must be left as it is until somebody lifts the hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub name: HoldName,
    /// Directories and all below them.
    pub paths: Vec<String>,
    /// Actions that are held whatever path they name, such as a rotation, which drops the oldest log.
    pub actions: Vec<ActionPattern>,
    pub scope: Scope,
    /// Who ordered it, in words.
    pub by: String,
    pub since: NaiveDate,
    pub review: NaiveDate,
    pub lifted_by: RoleName,
    pub reason: String,
}

impl Hold {
    /// Whether it protects `path` or anything below it.
    pub fn covers(&self, path: &str) -> bool {
        let steps = |path: &str| -> Vec<String> {
            path.split('/').filter(|step| !matches!(*step, "" | ".")).map(str::to_owned).collect()
        };
        let path = steps(path);
        // Where `..` leads is for the host to say: it may be there.
        let is_vague = path.iter().any(|step| step == "..");
        self.paths
            .iter()
            .map(|held| steps(held))
            .any(|held| is_vague || held.iter().zip(&path).all(|(held, step)| held == step))
    }

    /// The hold in a line: what, by whose order, until when, and who may lift it.
    pub fn words(&self) -> String {
        format!(
            "{}: nothing under {} may go, by order of {} since {}, review {}, lifted by role {}: {}",
            self.name,
            self.paths.join(" "),
            self.by,
            self.since,
            self.review,
            self.lifted_by,
            self.reason
        )
    }
}

/// The whole policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub people: Vec<Person>,
    pub roles: Vec<Role>,
    pub rules: Vec<Rule>,
    pub holds: Vec<Hold>,
    /// A request and its approvals are void after this time.
    pub expiry: Duration,
    /// Of the file; part of every plan.
    pub digest: Digest,
    /// Why whoever acts could change the policy; `None` where only root could.
    pub changeable: Option<String>,
    /// Whether there is a policy at all.
    pub exists: bool,
    /// Whether the file that puts hosts into groups is out of the actor's hands. Where it is not, what forbids holds for
    /// every host, whatever group it is said to be in.
    pub trusts_groups: bool,
}

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The account that asks, as the operating system vouches for it.
    pub user: &'a str,
    pub action: &'a ActionId,
    pub severity: Severity,
    /// Whether whoever acts could have written the action themselves.
    pub is_own: bool,
    /// The groups of each host that it is about.
    pub hosts: Vec<&'a [GroupName]>,
    /// Directories that it would change.
    pub paths: Vec<&'a str>,
    /// Holds that somebody who may has lifted.
    pub lifted: &'a BTreeSet<HoldName>,
}

/// What the policy answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// They may, once so many others have agreed.
    May {
        approvals: u32,
        why: String,
    },
    Held(String),
    MayNot(String),
}

impl Policy {
    /// Where no policy file is: whoever has the account on the hosts may do what needs nobody's consent.
    pub fn absent(path: &str) -> Self {
        Self {
            people: Vec::new(),
            roles: Vec::new(),
            rules: Vec::new(),
            holds: Vec::new(),
            expiry: Duration::from_secs(4 * 3_600),
            digest: Digest::ZERO,
            changeable: Some(format!(
                "there is no {path}, so nobody can agree; docs/policy.example.toml is one to begin from"
            )),
            exists: false,
            trusts_groups: false,
        }
    }

    /// Who has this account.
    pub fn person_of(&self, user: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.users.iter().any(|name| name == user))
    }

    pub fn person(&self, name: &PersonName) -> Option<&Person> {
        self.people.iter().find(|person| person.name == *name)
    }

    fn roles_of<'a>(&'a self, person: &'a Person) -> impl Iterator<Item = &'a Role> {
        self.roles.iter().filter(|role| person.roles.contains(&role.name))
    }

    /// Whether something that forbids is about any of these hosts.
    fn forbids(&self, scope: &Scope, hosts: &[&[GroupName]]) -> bool {
        !self.trusts_groups || hosts.iter().any(|groups| scope.holds(groups))
    }

    /// How many must agree to it: the strictest of the rules that are about it on any of its hosts.
    pub fn approvals_for(&self, question: &Question<'_>) -> u32 {
        let (action, severity, hosts) = (question.action, question.severity, &question.hosts);
        let fitting = self.rules.iter().filter(|rule| rule.actions.iter().any(|pattern| pattern.matches(action)));
        let asked: Option<u32> =
            fitting.filter(|rule| self.forbids(&rule.scope, hosts)).map(|rule| rule.approvals).max();
        let default = severity.approvals_by_default();
        match asked {
            // Whoever could write the policy could write a nought into it; and whoever could write the action, anything into
            // that.
            Some(asked) if self.changeable.is_some() || question.is_own => asked.max(default),
            Some(asked) => asked,
            None => default,
        }
    }

    /// Whether they may, and why or why not.
    pub fn answer(&self, question: &Question<'_>) -> Answer {
        let action = question.action;
        if let Some(hold) = self.hold_on(question) {
            return Answer::Held(hold.words());
        }
        let why = match self.may(question.user, action, &question.hosts) {
            Ok(why) => why,
            Err(why) => return Answer::MayNot(why),
        };
        let approvals = self.approvals_for(question);
        match &self.changeable {
            Some(changeable) if 0 < approvals => Answer::MayNot(format!(
                "{action} is {} and needs {approvals} approval{}: {changeable}",
                question.severity.word(),
                if approvals == 1 { "" } else { "s" },
            )),
            Some(_) | None => Answer::May { approvals, why },
        }
    }

    /// A hold that protects what would be changed on any of the hosts.
    pub fn hold_on(&self, question: &Question<'_>) -> Option<&Hold> {
        self.holds.iter().find(|hold| {
            let is_about = question.paths.iter().any(|path| hold.covers(path))
                || hold.actions.iter().any(|pattern| pattern.matches(question.action))
                // Nobody knows what an action does that its user wrote.
                || question.is_own;
            is_about && self.forbids(&hold.scope, &question.hosts) && !question.lifted.contains(&hold.name)
        })
    }

    fn may(&self, user: &str, action: &ActionId, hosts: &[&[GroupName]]) -> Result<String, String> {
        if !self.exists {
            return Ok("there is no policy: whoever can log in to the host may".to_owned());
        }
        let person =
            self.person_of(user).ok_or_else(|| format!("the policy knows no person with the account {user}"))?;
        let fitting = |role: &&Role| {
            role.may.iter().any(|pattern| pattern.matches(action))
                && hosts.iter().all(|groups| role.scope.holds(groups))
        };
        let role = self.roles_of(person).find(fitting).ok_or_else(|| {
            let roles: Vec<&str> = person.roles.iter().map(RoleName::as_str).collect();
            format!("no role of {} ({}) may {action} on all of these hosts", person.name, roles.join(" "))
        })?;
        Ok(format!("{} may {action} by the role {}", person.name, role.name))
    }

    /// Whether this person's word counts on such a request.
    pub fn may_approve(&self, person: &Person, action: &ActionId, hosts: &[&[GroupName]]) -> bool {
        self.roles_of(person).any(|role| {
            role.approves.iter().any(|pattern| pattern.matches(action))
                && hosts.iter().all(|groups| role.scope.holds(groups))
        })
    }

    /// Whether this account may do this without the others' consent, with a reason.
    pub fn may_break_glass(&self, user: &str, action: &ActionId, hosts: &[&[GroupName]]) -> bool {
        let opens = |role: &Role| {
            role.breaks_glass
                && role.may.iter().any(|pattern| pattern.matches(action))
                && hosts.iter().all(|groups| role.scope.holds(groups))
        };
        self.person_of(user).is_some_and(|person| self.roles_of(person).any(opens))
    }
}
