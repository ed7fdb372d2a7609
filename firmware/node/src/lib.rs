//! The node as one state machine: step(now, event, effects)
