//! Tests of the formats, of both verifiers, and of the signing workflow, in one program.

mod common;
mod corpus;
mod delegation;
mod ed25519;
mod licence;
mod manifest;
mod operator;
mod pe;
mod record;
mod roots;
mod workflow;
