// Package execcache keeps XLA's compiled executables on disk: a program is compiled once, and later starts of it load it.
//
// go-xla calls a PJRT plugin through a table of functions. [Attach] gives it a copy of that table in which the compiler
// (PJRT_Client_Compile) is ours: it looks for the executable in a [Cache] and has the plugin load it
// (PJRT_Executable_DeserializeAndLoad); when there is none it has the plugin compile, and keeps the result
// (PJRT_Executable_Serialize). Neither go-xla nor the plugin is changed. docs/upstream/go-xla-executable-cache.md has the patch with
// which go-xla could do it by itself.
//
// # What an executable depends on
//
// An executable is found by a hash of: the program and its format; the compile options; the client's devices and the version of
// their platform, as the plugin describes them; the plugin's path, size, time of change and version; XLA_FLAGS; the processor
// and the number of processors, as Linux describes them. A new plugin, other flags or another machine therefore compile anew.
//
// # Options for some programs
//
// XLA's flags hold for a whole process. [Attach] can also be given an [Override], an option for the programs of some name: the
// compiler gets it with the compile options. A plugin that refuses it compiles without.
//
// # When something is wrong
//
// A file has a header with a format version, the whole hash, its length and a SHA-256. What is damaged, cut off, of another
// version or refused by the plugin is compiled again and overwritten. A folder that can't be written to, or a full disk, is told
// once. None of it is an error.
//
// # State of the process
//
// A plugin is loaded once per process, and its compiler is told nothing of ours, so there is a package variable with up to four
// plugins. What was attached last serves all clients of its plugin.
package execcache

// Override sets one of XLA's options for the programs whose name begins with Prefix, unless XLA_FLAGS sets it.
type Override struct{ Prefix, Option, Value string }
