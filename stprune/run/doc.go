// Package run makes a training run a value: a [Spec] says everything about it, its id is a hash of what the spec means and of
// the data, and its folder in a [Store] holds what happened.
//
// Asking for a run that exists returns it at once, asking for one that was interrupted resumes it ([Do]). A run that was
// killed at any moment, also while saving, ends with the bits of one that was left alone, on the same backend and machine.
//
// # Folder of a run
//
//	spec.toml          every setting, defaults included
//	environment.json   Go, modules, backend, plugin, CPU, source revision
//	epochs.jsonl       one [Epoch] per line
//	selections/00001   units visited in epoch 1, their weights and inclusion probabilities: [Kept]
//	scores/00001       level, complexity and coherence by the end of epoch 1: [Scores]
//	scoring            state of a static method's scoring model; there until the method has chosen
//	checkpoint         trainer's state; checkpoint.previous is the one before
//	best               parameters of the best validation
//	result.json        [Result]; there when the run is finished
//	failure.json       step and units at which the loss became NaN or infinite
//
// Beside the runs, .claims holds who trains which of them: a [Claim] makes one process the only one to write a run, on folders that
// machines share as well.
//
// Files are replaced as a whole: temporary file, sync, rename. The binary ones carry a checksum. All wall-clock times are
// under a key "seconds"; everything else is the same for every run of the same spec. An epoch writes at most about 5 MB of
// selection and scores (selections of millions of pairs are summed up over windows), and one checkpoint.
package run
