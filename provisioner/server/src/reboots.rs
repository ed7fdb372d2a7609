//! Restarts of nodes that a person asks for.

use weft_api::Plan;
use weft_store::NewEvent;
use weft_wire::agent::{Command, ToNode};

use crate::core::Core;
use crate::error::Error;
use crate::nodes::{away, node_event};
use crate::spanning::lies_on;
use crate::transactions::plan_in_words;
use crate::world::{Ask, NodeEntry};

impl Core {
    /// Restarts a node.
    pub(crate) async fn reboot(&self, actor: &str, name: &str, dry: bool) -> Result<Plan, Error> {
        let node = self.find_node(name)?;
        if !node.trusted_with_records() {
            return Err(Error::refused(
                409,
                "node-not-approved",
                format!("{} is {}", node.row.name, node.state()),
                "approve it first",
            ));
        }
        let plan = self.plan_reboot(&node)?;
        if dry {
            return Ok(plan);
        }
        self.ask(&node, Ask::Send(ToNode::Command(Command::Reboot))).await?;
        self.emit(NewEvent {
            actor: actor.to_string(),
            ..node_event("node.reboot", "info", &node.row.name, "asked to restart")
        });
        Ok(Plan { state: "done".to_string(), ..plan })
    }

    /// What a restart does: what runs on the node stops, and starts again with it.
    fn plan_reboot(&self, node: &NodeEntry) -> Result<Plan, Error> {
        if node.live.is_none() {
            return Err(away(node));
        }
        let world = self.world();
        let name = &node.row.name;
        let mut effects = vec![match crate::boot_files::next_image(&world, node) {
            Some(image) => format!("{name} restarts, and boots {image}"),
            None => format!("{name} restarts, and finds no image to boot"),
        }];
        let here = world.servers.values().filter(|vs| vs.row.running && lies_on(&vs.row, &node.row.id));
        effects
            .extend(here.map(|vs| format!("{} stops, and starts afresh once the node is back", vs.row.name)));
        Ok(plan_in_words("node reboot", effects))
    }
}
