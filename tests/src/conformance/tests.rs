//! The conformance check itself is sabotaged here.
