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
    /// Inserts every row; `bind` gives a statement the columns of one of them, in their order.
    pub async fn rows<R>(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        rows: &[R],
        bind: impl for<'q> Fn(Statement<'q>, &R) -> Statement<'q>,
    ) -> Result<(), sqlx::Error> {
        let mut rest = rows;
        for size in GROUPS {
            if rest.len() < size {
                continue;
            }
            let sql = self.sql(size);
            while let Some((group, after)) = rest.split_at_checked(size) {
                let empty: Statement = sqlx::query(AssertSqlSafe(sql.clone()));
                group.iter().fold(empty, &bind).execute(&mut **transaction).await?;
                rest = after;
            }
        }
        Ok(())
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
