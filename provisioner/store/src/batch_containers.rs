//! Data centers, virtual mainframes and frames in a batch.

use hiqlite::Param;

use crate::batch::{Batch, json};
use crate::rows::ContainerRow;

impl Batch {
    /// Adds or replaces a container. A name that another of its level has aborts the batch.
    #[must_use]
    pub fn put_container(mut self, before: Option<&ContainerRow>, row: &ContainerRow) -> Self {
        self.push(
            "INSERT INTO containers (id, level, name, doc) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc",
            vec![
                Param::from(row.id.as_str()),
                Param::from(row.level.word()),
                Param::from(row.name.as_str()),
                Param::from(json(row)),
            ],
        );
        self.history(row.level.word(), &row.id, before.map(json), Some(json(row)));
        self
    }

    /// Deletes a container.
    #[must_use]
    pub fn delete_container(mut self, row: &ContainerRow) -> Self {
        self.push("DELETE FROM containers WHERE id = $1", vec![Param::from(row.id.as_str())]);
        self.history(row.level.word(), &row.id, Some(json(row)), None);
        self
    }
}
