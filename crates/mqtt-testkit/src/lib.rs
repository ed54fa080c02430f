//! Test helpers for the workspace: raw wire peers, golden packets, in-memory pipes
