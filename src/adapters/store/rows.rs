//! Many rows in few statements: each statement is a trip to the database's thread and back.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, Transaction};

/// Rows a statement, largest first: few sizes, so that the connection's cache holds all of them.
const GROUPS: [usize; 3] = [64, 8, 1];

pub type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// An insertion of rows of one shape.
pub struct Insert {
    /// `INSERT INTO table (column, …)`
    pub into: &'static str,
    pub columns: usize,
    /// What follows the values: an `ON CONFLICT` clause, or nothing.
    pub then: &'static str,
}

impl Insert {
    /// Inserts every row; `bind` gives a statement the columns of one of them, in their order. Rows are made a group at a
    /// time: the first second of a fleet has tens of thousands.
    pub async fn rows<R>(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        mut rows: impl Iterator<Item = Result<R, sqlx::Error>>,
        bind: impl Fn(Statement<'static>, R) -> Statement<'static>,
    ) -> Result<(), sqlx::Error> {
        loop {
            let group: Vec<R> = rows.by_ref().take(GROUPS[0]).collect::<Result<_, _>>()?;
            if group.is_empty() {
                return Ok(());
            }
            let mut left = group.len();
            let mut rest = group.into_iter();
            for size in GROUPS {
                while size <= left {
                    let empty: Statement = sqlx::query(AssertSqlSafe(self.sql(size)));
                    rest.by_ref().take(size).fold(empty, &bind).execute(&mut **transaction).await?;
                    left -= size;
                }
            }
        }
    }

    fn sql(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns].join(", "));
        format!("{} VALUES {} {}", self.into, vec![row; rows].join(", "), self.then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_a_place_for_every_column_of_every_row() {
        let insert = Insert { into: "INSERT INTO t (a, b)", columns: 2, then: "ON CONFLICT DO NOTHING" };
        assert_eq!(insert.sql(2), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING");
    }
}
