//! Rows of the appliances themselves: who they are, who may join, and the addresses that DHCP gave.

use hiqlite::{Param, Params};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::open::Store;

/// Invitations that are kept, used ones too.
const MAX_INVITATIONS: i64 = 64;

/// An appliance of several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplianceRow {
    /// Its number; none comes back.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where the others reach it.
    pub address: String,
    /// Where its interface and page are.
    #[serde(default)]
    pub urls: Vec<String>,
}

/// An address that DHCP gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// IPv4, as a number.
    pub address: u32,
    /// Whose, as text.
    pub hw: String,
    /// Until when, seconds since 1970.
    pub expires: u64,
    /// `bound`, `released` or `declined`.
    pub state: String,
}

struct Doc(String);

impl From<&mut hiqlite::Row<'_>> for Doc {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self(row.get("doc"))
    }
}

impl From<&mut hiqlite::Row<'_>> for LeaseRow {
    fn from(row: &mut hiqlite::Row<'_>) -> Self {
        Self {
            address: u32::try_from(row.get::<i64>("address")).unwrap_or(0),
            hw: row.get("hw"),
            expires: row.get::<i64>("expires").unsigned_abs(),
            state: row.get("state"),
        }
    }
}

fn whole(number: u64) -> Param {
    Param::from(i64::try_from(number).unwrap_or(i64::MAX))
}

impl Store {
    /// All appliances, the first one first.
    pub async fn appliances(&self) -> Result<Vec<ApplianceRow>, StoreError> {
        let rows: Vec<Doc> =
            self.db.query_map("SELECT doc FROM appliances ORDER BY id", Params::new()).await?;
        let damaged = |_| StoreError::Damaged { table: "appliances", key: String::new() };
        rows.iter().map(|Doc(doc)| serde_json::from_str(doc).map_err(damaged)).collect()
    }

    /// Keeps what an appliance says of itself.
    pub async fn put_appliance(&self, row: &ApplianceRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO appliances (id, name, doc) VALUES ($1, $2, $3) \
                   ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc";
        let params =
            vec![whole(row.id), Param::from(row.name.as_str()), Param::from(crate::batch::json(row))];
        self.write(vec![(sql, params)]).await.map(drop)
    }

    /// An appliance that is gone.
    pub async fn delete_appliance(&self, id: u64) -> Result<(), StoreError> {
        self.write(vec![("DELETE FROM appliances WHERE id = $1", vec![whole(id)])]).await.map(drop)
    }

    /// A number that no appliance had.
    pub async fn next_appliance(&self) -> Result<u64, StoreError> {
        const LAST: &str = "last_appliance";
        let damaged = || StoreError::Damaged { table: "meta", key: LAST.to_string() };
        // The first one is 1, and wrote nothing.
        let last: u64 = match self.meta(LAST).await? {
            Some(text) => text.parse().map_err(|_| damaged())?,
            None => 1,
        };
        let next = last.checked_add(1).ok_or(StoreError::Exhausted("the numbers of appliances"))?;
        let sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.write(vec![(sql, vec![Param::from(LAST), Param::from(next.to_string())])]).await?;
        Ok(next)
    }

    /// Keeps the digest of an invitation.
    pub async fn put_invitation(&self, hash: &str, expires: u64) -> Result<(), StoreError> {
        let keep = (
            "INSERT INTO invitations (hash, expires, used) VALUES ($1, $2, 0)",
            vec![Param::from(hash), whole(expires)],
        );
        let much = (
            "DELETE FROM invitations WHERE rowid IN \
             (SELECT rowid FROM invitations ORDER BY expires DESC LIMIT -1 OFFSET $1)",
            vec![Param::from(MAX_INVITATIONS)],
        );
        self.write(vec![keep, much]).await.map(drop)
    }

    /// Whether an invitation is good.
    pub async fn knows_invitation(&self, hash: &str, now: u64) -> Result<bool, StoreError> {
        let known: Vec<Doc> = self
            .db
            .query_map(
                "SELECT hash AS doc FROM invitations WHERE hash = $1 AND used = 0 AND expires > $2",
                vec![Param::from(hash), whole(now)],
            )
            .await?;
        Ok(!known.is_empty())
    }

    /// Uses an invitation up; whether there was one.
    pub async fn take_invitation(&self, hash: &str, now: u64) -> Result<bool, StoreError> {
        if !self.knows_invitation(hash, now).await? {
            // Who guesses makes nobody write.
            return Ok(false);
        }
        let sql = "UPDATE invitations SET used = 1 WHERE hash = $1 AND used = 0 AND expires > $2";
        let rows = self.write(vec![(sql, vec![Param::from(hash), whole(now)])]).await?;
        Ok(rows == [1])
    }

    /// All addresses that were given.
    pub async fn leases(&self) -> Result<Vec<LeaseRow>, StoreError> {
        Ok(self.db.query_map("SELECT * FROM leases ORDER BY address", Params::new()).await?)
    }

    /// Keeps addresses that are given; of those for one address the last counts.
    pub async fn put_leases(&self, rows: &[LeaseRow]) -> Result<(), StoreError> {
        let sql = "INSERT INTO leases (address, hw, expires, state) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (address) DO UPDATE SET hw = excluded.hw, expires = excluded.expires, state = excluded.state";
        let statement = |row: &LeaseRow| {
            let params = vec![
                Param::from(i64::from(row.address)),
                Param::from(row.hw.as_str()),
                whole(row.expires),
                Param::from(row.state.as_str()),
            ];
            (sql, params)
        };
        self.write(rows.iter().map(statement).collect()).await.map(drop)
    }
}
