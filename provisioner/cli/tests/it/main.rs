//! The command line as a process, against a test double of the appliance's interface.

mod apply;
mod completion;
mod console;
mod double;
mod events;
mod groups;
mod making;
mod operator;
mod operator_node;
mod output;
mod power;
mod refusals;
mod retry;
mod run;
mod session;
mod set;
mod terminal;
mod tls;
mod tx;
mod vs;
