//! Management controllers of nodes, and what was asked of them, in a batch. History never has a password, sealed or not.

use hiqlite::Param;

use crate::batch::{Batch, json};
use crate::rows::{AskedRow, BmcRow};

fn shown(row: &BmcRow) -> String {
    json(&BmcRow { password: String::new(), ..row.clone() })
}

impl Batch {
    /// Sets a node's management controller. History leaves its password out.
    #[must_use]
    pub fn put_bmc(mut self, before: Option<&BmcRow>, row: &BmcRow) -> Self {
        self.push(
            "INSERT INTO bmcs (node, doc) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET doc = excluded.doc",
            vec![Param::from(row.node.as_str()), Param::from(json(row))],
        );
        self.history("bmc", &row.node, before.map(shown), Some(shown(row)));
        self
    }

    /// Clears a node's management controller.
    #[must_use]
    pub fn delete_bmc(mut self, row: &BmcRow) -> Self {
        self.push("DELETE FROM bmcs WHERE node = $1", vec![Param::from(row.node.as_str())]);
        self.history("bmc", &row.node, Some(shown(row)), None);
        self
    }

    /// Drops what there is of a node that is forgotten, without a history row: the node's own says it.
    #[must_use]
    pub fn drop_bmc(mut self, node: &str) -> Self {
        self.push("DELETE FROM bmcs WHERE node = $1", vec![Param::from(node)]);
        self
    }

    /// Says in history what is asked of a node's management controller.
    #[must_use]
    pub fn ask_power(mut self, row: &AskedRow) -> Self {
        let before = AskedRow { asked: String::new(), ..row.clone() };
        self.history("power", &row.node, Some(json(&before)), Some(json(row)));
        self
    }
}
