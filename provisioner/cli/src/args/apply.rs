//! Arguments of `get`, `diff` and `apply`.

use std::path::PathBuf;

use clap::Args;

use super::DryRun;

/// `get`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weft get > rack.yaml
  weft get vs -o yaml
  weft get frames rack-1 -o json
  weft get vs web | weft diff -f -

The document has all that apply takes; applied as it is, it changes nothing. Of pools, images, accounts and policies it has
nothing (docs/apply.md).")]
pub(crate) struct Get {
    /// Kind; left out: all
    #[arg(value_name = "KIND", value_parser = ["datacenters", "datacenter", "mainframes", "mainframe", "frames", "frame",
        "nodes", "node", "partitions", "partition", "templates", "template", "switches", "switch", "gateways", "gateway", "ports",
        "port", "vs", "vnics", "vnic", "vhbas", "vhba"], hide_possible_values = true)]
    pub(crate) kind: Option<String>,
    /// One object of it
    pub(crate) name: Option<String>,
}

/// The document, and what of the rest goes.
#[derive(Debug, Args)]
pub(crate) struct Document {
    /// The document, YAML or JSON; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Delete what has the labels of -l, is of a kind that the document has a list of, and is not in it
    #[arg(long, requires = "selector")]
    pub(crate) prune: bool,
    /// Labels of what --prune may delete: key=value,key!=value,key,!key
    #[arg(short = 'l', long, value_name = "SELECTOR", requires = "prune")]
    pub(crate) selector: Option<weft_api::Selector>,
}

/// `diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weft diff -f rack.yaml
  weft get vs | sed 's/memory_mib: 256/memory_mib: 512/' | weft diff -f -

It ends with 0 also where something would change; with 4 where apply would be refused, and says each reason.")]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) document: Document,
}

/// `apply`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weft apply -f rack.yaml --dry-run
  weft apply -f rack.yaml
  weft apply -f web.yaml --prune -l team=web

rack.yaml:
  datacenters:
    - name: north
  mainframes:
    - name: m1
      datacenter: north
  frames:
    - name: rack-1
      mainframe: m1
      labels: {row: a}
  nodes:                 # approved ones; `frame: \"\"` is the free pool
    - name: node-1
      frame: rack-1
  switches:
    - name: lan
  gateways:
    - name: uplink
      switch: lan
      node: node-1
  ports:
    - name: lan-1
      switch: lan
      gateways: [uplink]
  vs:
    - name: web
      running: true
      node: node-1
      vcpus: 2
      memory_mib: 512
      append: quiet
      labels: {tier: web}
  vnics:
    - name: web.0          # the VNIC that web comes with
      port: lan-1

Objects are known by their names. What is left out of one stays as it is; labels that are given are all that it is to
have. All of it is one transaction, or nothing is changed; to take it back: weft tx undo.")]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) document: Document,
    #[command(flatten)]
    pub(crate) dry_run: DryRun,
}
